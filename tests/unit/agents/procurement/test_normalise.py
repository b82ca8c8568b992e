"""From releases of many habits to dossiers, and what is missing in them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.procurement.documents import load
from agents.procurement.domain.methods import recognise
from agents.procurement.domain.normalise import normalise
from agents.procurement.dossier import Severity, Stage
from tests.unit.agents.procurement.build import codes, document, dossier, only, release


def test_a_sound_release_misses_nothing() -> None:
    read = dossier()
    assert (read.stage, read.missing, read.findings) == (Stage.CONTRACT, (), ())
    assert read.needs > 10
    assert read.awards[0].value is not None
    assert read.awards[0].value.amount == Decimal("72000.5")
    assert read.awards[0].value.at == "/awards/0/value"


def test_references_are_completed_from_parties() -> None:
    tender = dossier().tender
    assert tender is not None
    assert [party.name for party in tender.tenderers] == [
        "Axel Works Ltd",
        "Yew Trees Ltd",
        "Zephyr plc",
    ]
    assert {(i.scheme, i.id) for i in tender.tenderers[1].identifiers} == {
        ("local", "y"),
        ("GB-COH", "0222"),
    }
    assert tender.tenderers[1].at == "/tender/tenderers/1"


def test_parties_that_stand_where_they_act() -> None:
    def old_style(r: dict[str, Any]) -> None:
        del r["parties"]
        r["buyer"] = {"identifier": {"legalName": "Ciudad de Arden", "scheme": "X", "id": 7}}

    buyer = dossier(old_style).buyer
    assert buyer is not None
    assert (buyer.name, buyer.identifiers[0].id) == ("Ciudad de Arden", "7")


def test_the_buyer_is_found_by_a_role_in_local_words() -> None:
    def no_buyer(r: dict[str, Any]) -> None:
        del r["buyer"]
        r["parties"][0]["roles"] = ["Comprador"]

    read = dossier(no_buyer)
    assert read.buyer is not None
    assert read.buyer.name == "City of Arden"
    assert "role-not-a-code" in codes(read.findings)


@pytest.mark.parametrize(
    ("wrap", "base"),
    [
        (lambda r: {"releases": [r]}, "/releases/0"),
        (lambda r: {"records": [{"compiledRelease": r}]}, "/records/0/compiledRelease"),
    ],
)
def test_pointers_lead_into_the_wrapping(wrap: Any, base: str) -> None:
    read = normalise(load(wrap(release())))
    assert read.base == base
    assert read.awards[0].at == f"{base}/awards/0"
    assert read.missing == ()


def test_an_empty_object_is_read_and_everything_is_missing() -> None:
    read = normalise({})
    assert read.stage is Stage.PLANNING
    assert [m.at for m in read.missing if m.essential] == [
        "/ocid",
        "/date",
        "/buyer/name",
        "/tender/title",
        "/tender/procurementMethod",
        "/tender/value",
    ]
    assert {m.nearest for m in read.missing} == {""}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "published empty"),
        ({"amount": "", "currency": ""}, "published empty"),
        ({"amount": "much", "currency": "GBP"}, "published, and not usable"),
    ],
)
def test_what_is_missing_says_how(value: object, reason: str) -> None:
    read = dossier(lambda r: r["awards"][0].update(value=value))
    (missing,) = [m for m in read.missing if m.at == "/awards/0/value"]
    assert (missing.reason, missing.essential, missing.nearest) == (reason, True, "/awards/0/value")


def test_what_was_never_published_names_the_nearest_place() -> None:
    read = dossier(lambda r: r["tender"].pop("procurementMethod"))
    (missing,) = read.missing
    assert (missing.at, missing.nearest) == ("/tender/procurementMethod", "/tender")
    assert missing.reason == "not published"


def test_a_contract_without_any_award_cannot_be_judged() -> None:
    read = dossier(lambda r: r.pop("awards"))
    assert [m.at for m in read.missing if m.essential] == ["/awards"]


def test_fields_under_other_names_are_read_and_told() -> None:
    def habits(r: dict[str, Any]) -> None:
        tender, award = r["tender"], r["awards"][0]
        tender["tederPeriod"] = tender.pop("tenderPeriod")
        tender["numberOfBids"] = tender.pop("numberOfTenderers")
        award["awardDate"] = award.pop("date")
        award["totalAwardValue"] = award.pop("value")
        award["items"][0]["suppliers"] = award.pop("suppliers")
        r["awards"] = award
        r["tag"] = "contract"

    read = dossier(habits)
    assert read.missing == ()
    assert read.awards[0].at == "/awards"
    assert read.awards[0].suppliers[0].at == "/awards/items/0/suppliers/0"
    assert codes(read.findings).count("field-alias") == 5
    assert codes(read.findings).count("not-a-list") == 2


def test_payments_under_their_old_names() -> None:
    def old(r: dict[str, Any]) -> None:
        payment = {
            "amount": {"amount": 10, "currency": "GBP"},
            "receiverOrganization": {"id": "GDF-1", "legalName": "Axel Works Ltd"},
        }
        r["contracts"][0]["implementation"] = {"transactions": [payment]}

    (payment,) = dossier(old).contracts[0].payments
    assert payment.value is not None
    assert payment.payee is not None
    assert (payment.value.amount, payment.payee.name) == (Decimal(10), "Axel Works Ltd")


def test_a_repeated_award_counts_once() -> None:
    def repeat(r: dict[str, Any]) -> None:
        r["awards"] *= 3
        r["contracts"] *= 2

    read = dossier(repeat)
    assert [a.duplicate_of for a in read.awards] == [None, "/awards/0", "/awards/0"]
    assert len(read.distinct_awards()) == len(read.distinct_contracts()) == 1
    assert only(read.findings, "award-repeated").evidence == ("/awards/0", "/awards/1", "/awards/2")


def test_awards_without_an_id_are_each_their_own() -> None:
    def nameless(r: dict[str, Any]) -> None:
        r["awards"] = [{**r["awards"][0], "id": ""}] * 2

    assert len(dossier(nameless).distinct_awards()) == 2


def test_a_thousand_awards_take_no_time() -> None:
    def many(r: dict[str, Any]) -> None:
        r["awards"] = [{**r["awards"][0], "id": str(n)} for n in range(1_000)]

    assert len(dossier(many).distinct_awards()) == 1_000


def test_awards_of_one_id_and_different_amounts_are_two() -> None:
    def second(r: dict[str, Any]) -> None:
        r["awards"].append({**r["awards"][0], "value": {"amount": 9, "currency": "GBP"}})

    assert len(dossier(second).distinct_awards()) == 2


def test_contracts_of_one_id_for_two_awards_are_two() -> None:
    def second(r: dict[str, Any]) -> None:
        r["contracts"].append({**r["contracts"][0], "awardID": "a2"})

    assert len(dossier(second).distinct_contracts()) == 2


def test_nothing_is_missing_from_what_came_to_nothing_or_is_repeated() -> None:
    def void(r: dict[str, Any]) -> None:
        bare = {"id": "a1", "value": r["awards"][0]["value"]}
        r["awards"] += [{"id": "a2", "status": "unsuccessful"}, bare]
        r["contracts"] += [{"id": "c2", "status": "cancelled"}]

    assert dossier(void).missing == ()


def test_periods_are_needed_only_where_suppliers_compete() -> None:
    def direct(r: dict[str, Any]) -> None:
        r["tender"].pop("tenderPeriod")
        r["tender"]["procurementMethod"] = "direct"

    assert dossier(direct).missing == ()
    missing = dossier(lambda r: r["tender"].pop("tenderPeriod")).missing
    assert [m.at for m in missing] == [
        "/tender/tenderPeriod/startDate",
        "/tender/tenderPeriod/endDate",
    ]


def test_a_plan_is_told_by_its_status() -> None:
    def planned(r: dict[str, Any]) -> None:
        r.update(contracts=[], awards=[], tag=["planningUpdate"])
        r["tender"]["status"] = "planned"

    assert dossier(planned).stage is Stage.PLANNING


def test_a_call_without_documents_misses_them() -> None:
    def call(r: dict[str, Any]) -> None:
        r.update(tag=["tender"], awards=[], contracts=[])
        r["tender"]["documents"] = [{"id": "", "url": ""}]

    (missing,) = dossier(call).missing
    assert (missing.at, missing.reason, missing.essential) == (
        "/tender/documents",
        "published empty",
        False,
    )


def test_lost_letters_are_noted() -> None:
    read = dossier(lambda r: r["buyer"].update(name="ALCALD\ufffdA"))
    assert only(read.findings, "text-damaged").evidence == ("/buyer/name",)


@pytest.mark.parametrize(
    ("changes", "original"),
    [
        ([{"property": "value/amount", "former_value": 50000}], 50000),
        ([{"property": "value", "former_value": {"amount": 50000, "currency": "GBP"}}], 50000),
        ([{"property": "period/endDate", "former_value": "2024-01-01"}], None),
        ([{"property": "value/amount", "former_value": None}], None),
        ({}, None),
    ],
)
def test_the_value_before_amendments(changes: object, original: int | None) -> None:
    read = dossier(lambda r: r["contracts"][0].update(amendment={"changes": changes}))
    found = read.contracts[0].original
    assert (found.amount if found else None) == original


def test_a_history_in_words_is_believed_where_it_adds_up() -> None:
    told = "amendmentNumber: 000, x, value: 42000.50 | amendmentNumber: 001, y, value: 30000.00"
    read = dossier(lambda r: r["contracts"][0].update(amendment={"rationale": told}))
    original = read.contracts[0].original
    assert original is not None
    assert original.amount == Decimal("42000.50")


@pytest.mark.parametrize("first", ["000, x, value: 9.00", "001, x, value: 72000.50"])
def test_a_history_that_does_not_add_up_is_reported(first: str) -> None:
    told = f"amendmentNumber: {first}"
    read = dossier(lambda r: r["contracts"][0].update(amendment={"rationale": told}))
    assert read.contracts[0].original is None
    assert only(read.findings, "amendments-do-not-add-up").severity is Severity.MEDIUM


@pytest.mark.parametrize(
    ("wording", "code", "competitive"),
    [
        ("open", "open", True),
        ("Licitaţie publică", "open", True),
        ("Cerere a ofertelor de preţuri", "open", True),
        ("Adjudicación directa (art. 42)", "direct", False),
        ("限制性招標(未經公開評選或公開徵求)", "direct", False),
        ("限制性招標(經公開評選或公開徵求)", "limited", True),
        ("The contract is awarded to a single supplier without competition.", "direct", False),
        ("Відкриті торги з особливостями", "open", True),
    ],
)
def test_methods_in_many_languages(wording: str, code: str, competitive: bool) -> None:
    kind = recognise(wording)
    assert kind is not None
    assert (kind.code, kind.competitive) == (code, competitive)


@pytest.mark.parametrize("wording", ["", "opening hours", "Dialogue compétitif", "directory"])
def test_an_unknown_method_stays_unknown(wording: str) -> None:
    assert recognise(wording) is None


def test_an_unknown_method_is_told_and_missing() -> None:
    read = dossier(lambda r: r["tender"].update(procurementMethod="Dialogue compétitif"))
    found = only(read.findings, "method-unknown")
    assert (found.severity, found.evidence) == (Severity.LOW, ("/tender/procurementMethod",))
    (missing,) = read.missing
    assert missing.reason == "published, and not usable"


def test_a_code_and_a_description_that_contradict_each_other() -> None:
    read = dossier(lambda r: r["tender"].update(procurementMethodDetails="Adjudicación directa"))
    found = only(read.findings, "method-contradiction")
    assert found.severity is Severity.HIGH
    assert found.evidence == ("/tender/procurementMethod", "/tender/procurementMethodDetails")


def test_the_method_is_taken_from_its_description() -> None:
    def described(r: dict[str, Any]) -> None:
        r["tender"].update(procurementMethod=None, procurementMethodDetails="Open procedure")

    tender = dossier(described).tender
    assert tender is not None
    assert tender.method is not None
    assert tender.method.at == "/tender/procurementMethodDetails"


@pytest.mark.parametrize(
    ("spoil", "stage"),
    [
        (lambda r: r.update(contracts=[]), Stage.AWARD),
        (lambda r: r.update(contracts=[], awards=[], tag=["tender"]), Stage.TENDER),
        (lambda r: r.update(contracts=[], awards=[], tag=["planning"]), Stage.PLANNING),
        (lambda r: [r.pop(k) for k in ("contracts", "awards", "tender")], Stage.PLANNING),
    ],
)
def test_the_stage_follows_from_the_contents(spoil: Any, stage: Stage) -> None:
    assert dossier(spoil).stage is stage


SECTIONS = [
    "parties",
    "buyer",
    "planning",
    "tender",
    "awards",
    "contracts",
    "bids",
    "tag",
    "date",
    "language",
]
GARBAGE: list[object] = [None, "text", 7, [], ["x", 3, None], {"id": {"a": []}}, [[[]]], True]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_no_shape_of_a_section_makes_it_crash(section: str, garbage: object) -> None:
    read = dossier(lambda r: r.update({section: garbage}))
    assert read.ocid == "ocds-test-1"


def test_the_order_of_members_says_nothing() -> None:
    def damage(r: dict[str, Any]) -> None:
        r["buyer"]["name"] = r["awards"][0]["id"] = "lost \ufffd"

    backwards = dict(reversed(document(damage).items()))
    assert normalise(backwards).model_dump_json() == dossier(damage).model_dump_json()
