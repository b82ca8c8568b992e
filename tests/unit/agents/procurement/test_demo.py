"""Reading releases from files, and the shipped samples."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from agents.procurement import demo, sourcing
from agents.procurement.models import Need, Objective, ReviewRequest
from agents.procurement.samples.__main__ import files
from agents.procurement.samples.parts import PLANTED
from mesh import Agent
from mesh.cli.policies import read_file
from tests.unit.agents.procurement.build import release, review


def write(folder: Path, **contents: str) -> Path:
    for name, text in contents.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def line(**changes: object) -> str:
    return json.dumps({**release(), **changes}, ensure_ascii=False)


def test_every_agent_can_be_run_by_its_name() -> None:
    names = []
    for entry in demo.AGENTS:
        module, attribute = entry.split(":")
        agent = getattr(import_module(module), attribute)
        assert isinstance(agent, Agent)
        names.append(agent.name)
    assert len(set(names)) == len(demo.AGENTS) == 10


def test_lines_become_inputs_in_order(tmp_path: Path) -> None:
    write(tmp_path, b_jsonl=line(ocid="b"), a_jsonl=line(ocid="a1") + "\n\n" + line(ocid="a2"))
    found = list(demo.releases(tmp_path))
    assert [entry.source for entry in found] == ["a.jsonl:1", "a.jsonl:3", "b.jsonl:1"]
    requests = [ReviewRequest.model_validate_json(json.dumps(entry.input)) for entry in found]
    assert [request.source for request in requests] == [entry.source for entry in found]


def test_one_file_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl=line(ocid="a"), b_jsonl=line(ocid="b"))
    assert [entry.source for entry in demo.releases(tmp_path / "b.jsonl")] == ["b.jsonl:1"]


def test_each_release_comes_with_the_prices_of_the_others(tmp_path: Path) -> None:
    other = {"value": {"amount": 5, "currency": "EUR"}}
    foreign = {**release(), "ocid": "c", "awards": [{**release()["awards"][0], **other}]}
    write(tmp_path, a_jsonl="\n".join([line(ocid="a"), line(ocid="b"), json.dumps(foreign)]))
    first = next(iter(demo.releases(tmp_path)))
    request = ReviewRequest.model_validate_json(json.dumps(first.input))
    assert {(p.ocid, p.kind) for p in request.reference} == {
        ("b", "award"), ("b", "estimate"), ("c", "estimate"),
    }  # fmt: skip


def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = ['{"a": 1', "[]", '{"a": NaN}', "null", '{"releases": []}']
    write(tmp_path, a_jsonl="\n".join([*bad, line()]))
    (tmp_path / "b.jsonl").write_bytes(b'{"name": "\xe9"}\n')
    *defects, good, bytes_defect = demo.releases(tmp_path)
    assert [entry.defect for entry in defects] == [
        "no JSON: Expecting ',' delimiter at line 1 column 8",
        "not a JSON object",
        "NaN is no JSON number",
        "not a JSON object",
        "/releases holds 0 entries; give them one by one",
    ]
    assert {entry.input for entry in defects} == {None}
    assert good.defect == ""
    assert bytes_defect.defect.startswith("not UTF-8: ")


def test_a_line_that_is_too_long_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "MAX_BYTES", 10)
    write(tmp_path, a_jsonl=line())
    (only,) = demo.releases(tmp_path)
    assert only.defect == "longer than 10 bytes"


def test_packages_are_taken_apart(tmp_path: Path) -> None:
    package = json.dumps({"releases": [release(), {**release(), "ocid": "b"}, 3]}, indent=1)
    write(tmp_path, a_json="\ufeff" + package)
    assert [(entry.source, entry.defect) for entry in demo.releases(tmp_path)] == [
        ("a.json#/releases/0", ""),
        ("a.json#/releases/1", ""),
        ("a.json#/releases/2", "not a JSON object"),
    ]


def test_digits_that_a_float_would_lose_arrive(tmp_path: Path) -> None:
    text = line().replace("72000.5", "72000.50000000000000000001")
    write(tmp_path, a_jsonl=text)
    (only,) = demo.releases(tmp_path)
    read, _ = review(ReviewRequest.model_validate_json(json.dumps(only.input)))
    assert read.awards[0].value is not None
    assert str(read.awards[0].value.amount) == "72000.50000000000000000001"


def test_where_there_is_nothing_to_read_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"holds no file named \*\.jsonl, \*\.ndjson, \*\.json"
    ):
        list(demo.releases(tmp_path))
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        list(demo.releases(tmp_path / "nowhere"))


def test_the_samples_are_what_their_generator_writes() -> None:
    for name, text in files():
        assert (demo.SAMPLES / name).read_text(encoding="utf-8") == text, f"{name} is out of date"


def test_the_samples_show_what_was_planted_in_them() -> None:
    list(files())
    found = {}
    for entry in demo.releases():
        if entry.input is not None:
            request = ReviewRequest.model_validate_json(json.dumps(entry.input))
            read, verdict = review(request)
            found[read.ocid] = (verdict.decision.value, {f.code for f in verdict.findings})
    assert len(found) >= 60
    for ocid, (decision, codes) in PLANTED.items():
        assert found[ocid][0] == decision, ocid
        assert codes <= found[ocid][1], ocid


def test_the_samples_hold_every_kind_of_release() -> None:
    entries = list(demo.releases())
    inputs = [ReviewRequest.model_validate_json(json.dumps(e.input)) for e in entries if e.input]
    reads = [review(request)[0] for request in inputs]
    assert len({read.language for read in reads}) >= 8
    currencies = {a.value.currency for read in reads for a in read.awards if a.value}
    assert len(currencies) >= 7
    assert len({read.stage for read in reads}) == 4
    assert {read.base for read in reads} == {"", "/releases/0", "/records/0/compiledRelease"}
    assert sum(entry.input is None for entry in entries) == 3
    assert any(isinstance(request.release, str) for request in inputs)


# --- shared state, and who does not stop ----------------------------------------------------------


def test_the_largest_exposure_of_each_currency_is_shown() -> None:
    values = {
        "exposure/a:1/EUR": {"x 1": 150_000_00, "x 2": 5},
        "exposure/b/EUR": {"y 1": 99},
        "exposure/b/MXN": {"y 2": 1_234_56},
        "suppliers/a:1/identity": {"name": "Axel Works Ltd"},
        "thresholds/c/EUR": {"amount": "50000"},
    }
    assert list(demo.shown(values)) == [
        "  largest exposure in EUR: 150,000.05 by 2 awards to Axel Works Ltd",
        "  largest exposure in MXN: 1,234.56 by 1 award to b",
    ]
    assert list(demo.shown({})) == []


def test_the_overeager_need_is_one_that_nobody_meets() -> None:
    (line,) = demo.overeager()
    need = Need.model_validate_json(json.dumps(line.input))
    assert min(sourcing.PRICES.values()) > need.target_price
    assert line.capability in sourcing.agent.capabilities
    (entry,) = demo.OVEREAGER_AGENTS
    assert entry.split(":")[0] == sourcing.__name__


def test_the_policy_can_be_applied() -> None:
    _, document = read_file(demo.POLICY)
    assert document.objectives == [own.value for own in Objective]
    assert {rule.prefix for rule in document.rules().rules} == {
        "aliases/", "exposure/", "suppliers/", "thresholds/",
    }  # fmt: skip
