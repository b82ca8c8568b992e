"""Cards are checked on construction; the directory keeps what was seen, indexed by capability."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.core.registry import (
    PRESENCE_MS,
    CapabilityCard,
    Card,
    CardState,
    Directory,
    Handler,
    Offering,
    Presence,
    covers,
    is_agent,
    is_capability,
    version_key,
)
from mesh.core.values import Acceptance, Amount, Effect, Inbox, Mode
from mesh.errors import DefinitionError

SCREEN = CapabilityCard(
    name="risk.screen",
    effect=Effect.IDEMPOTENT,
    mode=Mode.DIRECT,
    budget=None,
    timeout_ms=60_000,
    lease_ms=10_000,
    max_attempts=3,
    has_bid=False,
    input_schema="{}",
    output_schema="{}",
    digest="d1",
    acceptance=Acceptance.AUTOMATIC,
)
RATE = replace(SCREEN, name="risk.rate")
CARD = Card(
    agent="risk-a", owner="team-risk", version="1.2", purpose="screens", capabilities=(SCREEN,)
)


def presence(instance: str, agent: str = "risk-a", *names: str, load: int = 0) -> Presence:
    handlers = tuple(Handler(name, "d1") for name in names or ("risk.screen",))
    return Presence(instance, 1, agent, Inbox(f"m.inbox.{agent}", 0), load, 4, handlers)


def directory(*cards: Card) -> Directory:
    made = Directory()
    for card in cards:
        assert made.see_card(card.agent, card) == ""
    return made


def asked(made: Directory, capability: str = "risk.screen") -> list[str]:
    return [found.instance for found in made.offering(capability).instances]


class TestCards:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"agent": ""}, "agent"),
            ({"agent": "Risk"}, "agent"),
            ({"agent": "risk."}, "agent"),
            ({"agent": "r" * 201}, "agent"),
            ({"owner": " "}, "owner"),
            ({"version": ""}, "version"),
            ({"version": "1."}, "version"),
            ({"version": "v1"}, "version"),
            ({"version": "1.-2"}, "version"),
            ({"calls": ("risk",)}, "calls"),
            ({"calls": ("*.screen",)}, "calls"),
            ({"calls": ("risk.screen", "")}, "calls"),
            ({"reads": ("",)}, "reads"),
            ({"writes": ("orders/", "")}, "writes"),
            ({"tools": ("",)}, "tools"),
            ({"capabilities": (SCREEN, SCREEN)}, "capabilities"),
        ],
    )
    def test_a_defect_names_its_field(self, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(DefinitionError, match=rf"\b{field}\b"):
            replace(CARD, **changes)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": "screen"}, "name"),
            ({"name": "risk.*"}, "name"),
            ({"name": "risk.\u0441creen"}, "name"),
            ({"timeout_ms": 0}, "timeout_ms"),
            ({"lease_ms": -1}, "lease_ms"),
            ({"max_attempts": 0}, "max_attempts"),
            ({"mode": Mode.NAMED}, "mode"),
            ({"budget": Amount(tokens=-1)}, "budget"),
        ],
    )
    def test_a_capability_s_defect_names_its_field(
        self, changes: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(DefinitionError, match=rf"\b{field}\b"):
            replace(SCREEN, **changes)

    def test_what_is_well_formed_is_taken(self) -> None:
        card = replace(
            CARD,
            agent="eu.sourcing-2",
            version="0",
            calls=("*", "risk.*", "risk.screen", "risk.*"),
            reads=("orders/",),
            tools=("rates",),
            capabilities=(RATE, replace(SCREEN, budget=Amount())),
        )
        assert card.capability("risk.rate") is RATE
        assert card.capability("risk.other") is None

    @pytest.mark.parametrize(
        ("patterns", "capability", "allowed"),
        [
            ((), "risk.screen", False),
            (("*",), "risk.screen", True),
            (("risk.screen",), "risk.screen", True),
            (("risk.screen",), "risk.screening", False),
            (("risk.*",), "risk.screen", True),
            (("risk.*",), "risky.screen", False),
            (("price.*",), "risk.screen", False),
            (("finance.*", "risk.screen"), "risk.screen", True),
        ],
    )
    def test_a_scope_covers(
        self, patterns: tuple[str, ...], capability: str, allowed: bool
    ) -> None:
        assert covers(patterns, capability) is allowed

    def test_versions_order_as_numbers(self) -> None:
        assert version_key("1.10") > version_key("1.9.9") > version_key("1.9")
        assert version_key("1.0.0") == version_key("1")
        assert version_key("0") == () < version_key("0.1")


class TestSeeingCards:
    def test_two_owners_of_one_name_are_both_named(self) -> None:
        made = directory(CARD)
        reason = made.see_card("risk-a", replace(CARD, owner="mallory"))
        assert "team-risk" in reason
        assert "mallory" in reason
        assert made.card("risk-a") is CARD

    def test_a_version_that_goes_back_is_refused_with_both(self) -> None:
        made = directory(replace(CARD, version="1.10"))
        reason = made.see_card("risk-a", replace(CARD, version="1.9"))
        assert "1.10" in reason
        assert "1.9 " in reason
        assert made.card("risk-a") == replace(CARD, version="1.10")

    def test_a_card_under_another_s_key_is_refused(self) -> None:
        made = Directory()
        assert "risk-a" in made.see_card("risk-b", CARD)
        assert made.card("risk-b") is None

    def test_the_same_version_again_replaces(self) -> None:
        made = directory(CARD)
        assert made.see_card("risk-a", replace(CARD, capabilities=(RATE,))) == ""
        assert made.capability("risk.screen") is None
        assert made.capability("risk.rate") is RATE
        assert made.agents_offering("risk.screen") == ()

    def test_a_withdrawal_frees_the_name(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1"), 0)
        assert made.see_card("risk-a", None) == ""
        assert asked(made) == []
        assert made.see_card("risk-a", None) == ""
        assert made.see_card("risk-a", replace(CARD, owner="other", version="1")) == ""
        assert asked(made) == ["a-1"]

    def test_a_retired_agent_offers_nothing(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1"), 0)
        assert made.see_card("risk-a", replace(CARD, state=CardState.RETIRED)) == ""
        assert asked(made) == []
        assert made.capability("risk.screen") is None
        assert made.card("risk-a") is not None

    def test_the_first_agent_by_name_speaks_for_a_capability(self) -> None:
        rival = replace(CARD, agent="risk-0", capabilities=(replace(SCREEN, digest="d0"),))
        made = directory(CARD, rival)
        assert made.agents_offering("risk.screen") == ("risk-0", "risk-a")
        found = made.capability("risk.screen")
        assert found is not None
        assert found.digest == "d0"

    def test_near_misses_are_offered_names(self) -> None:
        made = directory(replace(CARD, capabilities=(SCREEN, RATE)))
        assert made.near("risk.scren")[0] == "risk.screen"
        assert made.near("zzz") == ()
        made.see_card("risk-a", None)
        assert made.near("risk.scren") == ()


class TestSeeingPresence:
    def test_instances_stand_sorted_whoever_came_first(self) -> None:
        made = directory(CARD, replace(CARD, agent="risk-b"))
        for name, agent in (("z", "risk-a"), ("b", "risk-b"), ("m", "risk-a")):
            assert made.see_presence(name, presence(name, agent), 0) == ""
        assert asked(made) == ["b", "m", "z"]
        assert repr(made.offering("risk.screen")) == (
            "Offering(risk.screen, 3 of ['risk-a', 'risk-b'])"
        )
        assert repr(made) == "Directory(2 cards, 3 instances)"

    def test_presence_before_its_card_counts_once_the_card_is_there(self) -> None:
        made = Directory()
        made.see_presence("a-1", presence("a-1"), 0)
        assert asked(made) == []
        made.see_card("risk-a", CARD)
        assert asked(made) == ["a-1"]

    def test_a_change_of_load_replaces_in_place(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1"), 0)
        made.see_presence("a-1", presence("a-1", load=3), 1)
        assert [found.load for found in made.offering("risk.screen")] == [3]
        assert [found.load for found in made.offering("risk.screen").of("risk-a")] == [3]
        known = made.presence("a-1")
        assert known is not None
        assert known.load == 3

    def test_an_earlier_incarnation_is_ignored(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1")._replace(incarnation=2), 0)
        assert "incarnation 2" in made.see_presence("a-1", presence("a-1"), 1)
        assert made.see_presence("a-1", presence("a-1")._replace(incarnation=3), 1) == ""

    def test_an_instance_keeps_its_agent_and_its_key(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1"), 0)
        assert "risk-b" in made.see_presence("a-1", presence("a-1", "risk-b"), 1)
        assert "a-1" in made.see_presence("a-2", presence("a-1"), 1)
        assert asked(made) == ["a-1"]

    def test_a_draining_instance_is_not_asked(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1"), 0)
        made.see_presence("a-1", presence("a-1")._replace(draining=True), 1)
        assert asked(made) == []
        assert made.presence("a-1") is not None

    def test_only_what_card_and_process_both_hold_is_offered(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1", "risk-a", "risk.screen", "risk.rate"), 0)
        made.see_presence("a-2", presence("a-2", "risk-a", "risk.rate"), 0)
        assert asked(made) == ["a-1"]
        assert asked(made, "risk.rate") == []
        made.see_card("risk-a", replace(CARD, version="2", capabilities=(SCREEN, RATE)))
        assert asked(made, "risk.rate") == ["a-1", "a-2"]

    def test_a_process_that_serves_other_handlers_is_moved(self) -> None:
        made = directory(replace(CARD, capabilities=(SCREEN, RATE)))
        made.see_presence("a-1", presence("a-1"), 0)
        made.see_presence("a-1", presence("a-1", "risk-a", "risk.rate"), 1)
        assert asked(made) == []
        assert asked(made, "risk.rate") == ["a-1"]

    def test_a_goodbye_removes_and_may_come_again(self) -> None:
        made = directory(CARD)
        made.see_presence("a-1", presence("a-1", "risk-a", "risk.screen", "risk.rate"), 0)
        for _ in range(2):
            assert made.see_presence("a-1", None, 1) == ""
            assert asked(made) == []
            assert made.presence("a-1") is None
        assert made.offering("risk.screen").agents == []

    def test_who_is_not_heard_of_is_forgotten(self) -> None:
        made = directory(CARD)
        for name, seen in (("b", 0), ("a", 0), ("c", 1)):
            made.see_presence(name, presence(name), seen)
        assert made.expire(PRESENCE_MS) == ()
        assert made.expire(PRESENCE_MS + 1) == ("a", "b")
        assert asked(made) == ["c"]

    def test_work_that_was_placed_counts_until_the_instance_tells_its_load(self) -> None:
        made = directory(CARD)
        made.placed("a-1", 1)
        made.see_presence("a-1", presence("a-1", load=2), 0)
        offering = made.offering("risk.screen")
        (own,) = offering.instances
        assert offering.load(own) == 2, "of whom nothing is known nothing is counted"
        made.placed("a-1", 1)
        made.placed("a-1", 1)
        made.placed("a-1", -1)
        assert offering.load(own) == 3
        made.see_presence("a-1", presence("a-1", load=4), 1)
        (own,) = offering.instances
        assert offering.load(own) == 4

    def test_whoever_has_a_card_or_was_heard_of_is_listed(self) -> None:
        made = directory(replace(CARD, agent="risk-b"), CARD)
        for name, seen in (("b", 7), ("a", 9)):
            made.see_presence(name, presence(name), seen)
        assert made.agents == ("risk-a", "risk-b")
        assert made.present() == ((presence("a"), 9), (presence("b"), 7))

    def test_the_digest_is_the_process_s_own(self) -> None:
        own = presence("a-1")._replace(handlers=(Handler("risk.screen", "d9"),))
        assert own.digest("risk.screen") == "d9"
        assert own.digest("risk.rate") == ""


class TestOffering:
    def test_finds_and_leaves_out(self) -> None:
        offering = Offering(
            "risk.screen", [presence("a"), presence("c", "risk-b"), presence("b", "risk-b")]
        )
        assert offering.find("b") == presence("b", "risk-b")
        assert offering.find("bb") is None
        assert offering.find("d") is None
        assert [own.instance for own in offering.of("risk-b")] == ["b", "c"]
        assert list(offering.of("nobody")) == []
        assert offering.without({"nobody"}) is offering
        assert list(offering.without({"risk-b"})) == [presence("a")]

    def test_those_of_one_agent_are_a_copy(self) -> None:
        offering = Offering("risk.screen", [presence("a"), presence("b", "risk-b")])
        only = offering.only("risk-b")
        assert (list(only), list(only.agents)) == ([presence("b", "risk-b")], ["risk-b"])
        only.put(presence("c", "risk-b"))
        only.drop("b")
        assert [own.instance for own in only.of("risk-b")] == ["c"]
        assert [own.instance for own in offering.of("risk-b")] == ["b"]
        assert (list(offering.only("nobody")), list(offering.only("nobody").agents)) == ([], [])

    def test_drop_of_what_is_not_there_changes_nothing(self) -> None:
        offering = Offering("risk.screen", [presence("a")])
        offering.drop("b")
        assert len(offering) == 1


@pytest.mark.parametrize(
    ("name", "capability", "agent"),
    [
        ("risk.screen", True, True),
        ("risk", False, True),
        ("risk.screen.deep", False, True),
        ("Risk.screen", False, False),
        (f"risk.{'s' * 200}", False, False),
        ("", False, False),
    ],
)
def test_what_can_be_called_so(name: str, capability: bool, agent: bool) -> None:
    assert is_capability(name) is capability
    assert is_agent(name) is agent
