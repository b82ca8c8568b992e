from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from mesh.cli.asking import check_offered, check_request, read_budget, read_input
from mesh.cli.failures import CommandError
from mesh.core.registry import Directory, Handler, Presence
from mesh.core.settings import Settings
from mesh.core.values import Amount, Inbox
from mesh.errors import UsageError
from tests.unit.cli.office import ann, desk

REST = Settings().budget


def directory(*, alive: bool = True) -> Directory:
    found = Directory()
    for agent in (desk, ann):
        found.see_card(agent.name, agent.card())
        handlers = tuple(Handler(name, "d") for name in agent.capabilities)
        own = Presence(f"{agent.name}.1", 1, agent.name, Inbox("t", 0), 0, 4, handlers)
        if alive:
            found.see_presence(own.instance, own, 1_000)
    return found


def test_an_input_is_json_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "need.json").write_text('{"item": "desk"}')
    assert read_input('{"item": "desk"}') == {"item": "desk"}
    assert read_input(f"@{tmp_path}/need.json") == {"item": "desk"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1]")))
    assert read_input("-") == [1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("@nowhere.json", "nowhere.json: No such file"),
        ('{"item"', r"the input is no JSON: .* it begins with"),
        ('{"a":1,"a":2}', "twice"),
    ],
)
def test_an_input_that_cannot_be_read_is_refused(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_input(given)


def test_a_budget_is_exact() -> None:
    assert read_budget([], REST) is None
    assert read_budget(["usd=0.50,tokens=7"], REST) == REST._replace(micro_usd=500_000, tokens=7)
    given = read_budget(['{"usd": "1.25"}', "hops=3"], REST)
    assert given == REST._replace(micro_usd=1_250_000, hops=3)


@pytest.mark.parametrize(
    "given", ["usd", "usd=-1", "tokens=many", "coins=1", "{", "[1]", '{"usd": 0.5}', "{]"]
)
def test_a_budget_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--budget"):
        read_budget([given], REST)


def test_who_offers_it() -> None:
    assert check_offered(directory(), "office.order", 2_000) == ""
    assert "no instance of desk is alive" in check_offered(
        directory(alive=False), "office.order", 2_000
    )
    assert "waits in Kafka" in check_offered(directory(), "office.order", 10_000_000)
    with pytest.raises(CommandError, match=r"nobody offers office.ordr; did you mean office.order"):
        check_offered(directory(), "office.ordr", 0)
    with pytest.raises(CommandError, match="`mesh agents` lists"):
        check_offered(Directory(), "x.y", 0)


def test_what_no_supervisor_would_take_is_refused() -> None:
    settings = Settings()
    found = directory()
    check_request(found, "office.order", None, None, settings)
    for budget, timeout, message in (
        (Amount(), None, "the budget is zero"),
        (REST._replace(micro_usd=settings.ceiling.micro_usd + 1), None, "above the ceiling"),
        (None, settings.retention_ms + 1, "the log is kept for"),
    ):
        with pytest.raises(UsageError, match=message):
            check_request(found, "office.order", budget, timeout, settings)
