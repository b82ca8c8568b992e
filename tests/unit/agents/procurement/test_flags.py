"""Red flags of the procedure and of the bids."""

from __future__ import annotations

from typing import Any

import pytest

from agents.procurement.domain.coverage import everything
from agents.procurement.domain.flags import screen
from agents.procurement.dossier import Finding, Severity
from agents.procurement.models import Policy, Skipped
from tests.unit.agents.procurement.build import codes, dossier, only

Flags = list[Finding | Skipped]


def flags(spoil: Any = None, policy: Policy | None = None) -> Flags:
    read = dossier(spoil)
    return screen(read, policy or Policy(), everything(read))


def skipped(found: Flags) -> list[str]:
    return [entry.because for entry in found if isinstance(entry, Skipped)]


def tender(**changes: object) -> Any:
    return lambda r: r["tender"].update(changes)


def test_a_sound_release_raises_no_flag() -> None:
    assert codes(flags()) == []


@pytest.mark.parametrize(
    ("method", "severity"),
    [
        ("open", Severity.HIGH),
        ("selective", Severity.MEDIUM),
        ("Cerere a ofertelor de preţuri", Severity.MEDIUM),
        (None, Severity.LOW),
    ],
)
def test_a_single_bidder(method: str | None, severity: Severity) -> None:
    found = flags(tender(procurementMethod=method, numberOfTenderers=1, tenderers=[]))
    flag = only(found, "single-bidder")
    assert (flag.severity, flag.source) == (severity, "Cardinal R018")
    assert "/tender/numberOfTenderers" in flag.evidence


def test_a_single_bidder_by_the_list_alone() -> None:
    found = flags(tender(numberOfTenderers=None, tenderers=[{"id": "x"}]))
    assert only(found, "single-bidder").evidence == (
        "/tender/tenderers/0",
        "/tender/procurementMethod",
    )


def test_one_supplier_of_a_direct_award_is_no_single_bidder() -> None:
    found = flags(
        tender(procurementMethod="direct", numberOfTenderers=1, procurementMethodRationale="Patent")
    )
    assert "single-bidder" not in codes(found)


def test_an_unnamed_placeholder_is_no_bidder() -> None:
    found = flags(tender(numberOfTenderers="", tenderers=[{"id": "d41d8", "name": ""}]))
    assert "single-bidder" not in codes(found)
    assert "how many tenderers there were is not published" in skipped(found)


def test_a_count_that_is_not_the_list() -> None:
    flag = only(flags(tender(numberOfTenderers=5)), "tenderers-miscounted")
    assert flag.severity is Severity.LOW
    assert flag.explanation == "5 tenderers are counted and 3 are named."


@pytest.mark.parametrize(
    ("end", "method", "severity"),
    [
        ("2024-01-10", "open", Severity.HIGH),
        ("2024-01-12", "open", Severity.HIGH),
        ("2024-01-13", "open", Severity.MEDIUM),
        ("2024-01-24", "open", Severity.MEDIUM),
        ("2024-01-25", "open", None),
        ("2024-01-16", "request for quotations", Severity.MEDIUM),
        ("2024-01-17", "request for quotations", None),
        ("2024-01-11", "limited", None),
    ],
)
def test_a_short_tender_period(end: str, method: str, severity: Severity | None) -> None:
    period = {"startDate": "2024-01-10", "endDate": end}
    found = flags(tender(tenderPeriod=period, procurementMethod=method))
    raised = [
        f.severity for f in found if isinstance(f, Finding) and f.code == "short-tender-period"
    ]
    assert raised == ([severity] if severity else [])


def test_the_caller_may_ask_for_longer_periods() -> None:
    assert "short-tender-period" in codes(flags(policy=Policy(short_period_days=60)))


def test_a_period_that_ends_before_it_begins() -> None:
    period = {"startDate": "2024-02-10", "endDate": "2024-01-10"}
    assert "period-reversed" in codes(flags(tender(tenderPeriod=period)))


def test_a_period_that_is_not_published_is_not_measured() -> None:
    found = flags(tender(tenderPeriod={"endDate": "2024-01-10"}))
    assert "short-tender-period" not in codes(found)
    assert any("cannot be measured" in because for because in skipped(found))


@pytest.mark.parametrize(
    ("method", "rationale", "severity"),
    [
        ("direct", None, Severity.HIGH),
        ("direct", "NO APLICA", Severity.HIGH),
        ("limited", "", Severity.MEDIUM),
        ("limited", "Sole manufacturer", None),
        ("open", None, None),
    ],
)
def test_shutting_competition_out_needs_a_reason(
    method: str, rationale: str | None, severity: Severity | None
) -> None:
    found = flags(tender(procurementMethod=method, procurementMethodRationale=rationale))
    raised = [f.severity for f in found if isinstance(f, Finding) and f.code == "no-rationale"]
    assert raised == ([severity] if severity else [])


def test_what_was_not_published() -> None:
    assert "documents-not-published" in codes(flags(tender(documents=[{"id": "", "url": ""}])))
    assert only(flags(lambda r: r.pop("awards")), "award-not-published").evidence == (
        "/contracts/0",
    )


def test_without_a_call_competition_cannot_be_judged() -> None:
    found = flags(lambda r: r.pop("tender"))
    assert any("competition cannot be judged" in because for because in skipped(found))


def bid(who: str, amount: float, **more: object) -> dict[str, object]:
    value = {"amount": amount, "currency": "GBP"}
    return {"tenderers": [{"id": who}], "value": value, "status": "valid", **more}


def bids(*details: dict[str, object]) -> Any:
    return lambda r: r.update(bids={"details": list(details)})


def test_identical_bids_of_different_tenderers() -> None:
    flag = only(flags(bids(bid("x", 72000), bid("y", 72000.0), bid("z", 80000))), "identical-bids")
    assert flag.evidence == ("/bids/details/0/value", "/bids/details/1/value")
    assert "72,000 GBP" in flag.explanation


def test_one_tenderer_may_repeat_a_bid() -> None:
    assert "identical-bids" not in codes(flags(bids(bid("x", 72000), bid("x", 72000))))


def test_a_second_bid_that_is_close() -> None:
    flag = only(flags(bids(bid("x", 72000), bid("y", 72500))), "second-bid-close")
    assert flag.severity is Severity.LOW
    assert "second-bid-close" in codes(flags(bids(bid("x", 72000), bid("y", 72720))))
    assert "second-bid-close" not in codes(flags(bids(bid("x", 72000), bid("y", 75000))))
    assert "second-bid-close" not in codes(flags(bids(bid("x", 72000), bid("x", 72000))))


def test_all_but_one_disqualified_and_the_lowest_among_them() -> None:
    out = {"status": "disqualified"}
    found = codes(flags(bids(bid("x", 72000), bid("y", 70000, **out), bid("z", 90000, **out))))
    assert "all-but-one-disqualified" in found
    assert "lowest-bid-disqualified" in found


def test_bids_that_were_taken_back_were_not_disqualified() -> None:
    back = {"status": "withdrawn"}
    assert codes(flags(bids(bid("x", 72000), bid("y", 70000, **back)))) == []


def test_where_nobody_is_left_no_bid_was_preferred() -> None:
    out = {"status": "disqualified"}
    assert codes(flags(bids(bid("x", 72000, **out), bid("y", 70000, **out)))) == []


def test_a_winner_who_came_late() -> None:
    late = {"date": "2024-02-25T00:00:00Z"}
    assert "late-bid-won" in codes(flags(bids(bid("x", 72000, **late))))
    assert "late-bid-won" not in codes(flags(bids(bid("y", 72000, **late))))


def test_bids_in_different_currencies_are_not_compared() -> None:
    dollars = {"value": {"amount": 72000, "currency": "USD"}}
    assert codes(flags(bids(bid("x", 72000), bid("y", 0, **dollars)))) == []
