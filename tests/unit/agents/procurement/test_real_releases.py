"""What is true of every release, real ones where they are at hand.

The real ones are no part of this repository; where they are missing, the samples stand in and the
test's name says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib import import_module

import pytest

from agents.procurement import demo, lead
from agents.procurement.documents import load
from agents.procurement.domain.coverage import everything, first_pass
from agents.procurement.domain.pointers import dangling, exists
from agents.procurement.dossier import Dossier, Severity
from agents.procurement.models import Assessment, Decision, ReviewRequest
from mesh.testing import MemoryMesh
from tests.unit.agents.procurement.build import REAL, review

DATA = REAL if REAL.is_dir() else None
LINES = list(demo.releases(DATA))
REQUESTS = {
    line.source: ReviewRequest.model_validate_json(json.dumps(line.input))
    for line in LINES
    if line.input is not None
}


@cache
def reviewed(source: str) -> tuple[Dossier, Assessment]:
    return review(REQUESTS[source])


FILES = sorted({source.split(":")[0] for source in REQUESTS})


def test_which_releases_these_are(record_property: Callable[[str, object], None]) -> None:
    record_property("releases", str(DATA or "the samples of this repository"))
    assert len(REQUESTS) == (206 if DATA else len(REQUESTS))
    assert len(REQUESTS) >= 60


@pytest.mark.parametrize("file", FILES, ids=[f"{'real' if DATA else 'sample'}-{f}" for f in FILES])
def test_every_release_is_decided_with_reasons_that_stand(file: str) -> None:
    for source, request in REQUESTS.items():
        if not source.startswith(f"{file}:") and source != file:
            continue
        published = load(request.release)
        read, verdict = reviewed(source)
        assert verdict.decision in Decision, source
        assert verdict.reasons, source
        assert verdict.dismissed == (), source
        for finding in verdict.findings:
            assert finding.explanation.endswith((".", ")")), (source, finding)
            assert dangling(published, finding.evidence) == [], (source, finding)
        for reason in verdict.reasons:
            assert dangling(published, reason.evidence) == [], (source, reason)
        for missing in read.missing:
            assert exists(published, missing.nearest), (source, missing)


def test_the_same_release_is_decided_the_same_way_twice() -> None:
    for source, request in REQUESTS.items():
        first, second = reviewed(source), review(request)
        assert first[0].model_dump_json() == second[0].model_dump_json(), source
        assert first[1].model_dump_json() == second[1].model_dump_json(), source


@pytest.mark.slow
async def test_the_agents_decide_every_release_as_their_functions_do() -> None:
    agents = [getattr(import_module(e.split(":")[0]), e.split(":")[1]) for e in demo.AGENTS]
    async with MemoryMesh(*agents) as mesh:
        for source, request in REQUESTS.items():
            found = (await mesh.submit(lead.review, request)).value
            read, verdict = reviewed(source)
            assert found.decision is verdict.decision, source
            assert found.missing == read.missing, source
            assert found.gaps == (), source
            assert Counter((f.code, f.evidence) for f in found.findings) == Counter(
                (f.code, f.evidence) for f in verdict.findings
            ), source
        assert mesh.violations() == []


def test_decisions_follow_from_what_was_found_and_what_is_missing() -> None:
    decided: Counter[str] = Counter()
    for source in REQUESTS:
        read, verdict = reviewed(source)
        decided[verdict.decision.value] += 1
        if any(f.severity is Severity.HIGH for f in verdict.findings):
            assert verdict.decision is Decision.REVIEW, source
        if verdict.decision is Decision.CLEAR:
            assert not [m for m in read.missing if m.essential], source
    assert set(decided) == {"clear", "review", "incomplete"}


def test_some_releases_have_more_awards_than_a_first_pass_looks_at() -> None:
    partly = [
        source for source in REQUESTS if first_pass(read := reviewed(source)[0]) < everything(read)
    ]
    assert len(partly) >= 3
