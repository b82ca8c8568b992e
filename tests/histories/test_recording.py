"""What clients record is what is read back, also of killed ones; nothing wrong is read."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.histories.checker import check
from tests.histories.clients import KEY
from tests.histories.models import VersionedEntry
from tests.histories.operations import (
    Accepted,
    Answer,
    Call,
    CompareAndSet,
    Found,
    HistoryError,
    Operation,
    Outcome,
    Read,
    Refused,
    Write,
)
from tests.histories.reading import read_directory, read_etcd_log, read_recordings
from tests.histories.recording import Recorder

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60
HEAD = '{"format":1,"boot":"b","pid":1,"started":1}\n'
READ = '{"at":5,"op":0,"client":"c","key":"k","call":"read"}\n'
A_AND_B = '{"a":0,"b":[1,"\\u00fc"]}'
FOUND = '{"at":6,"op":0,"answer":"found","value":1,"version":1}\n'


def recorder(directory: Path, start: int = 0) -> Recorder:
    """A recorder whose clock ticks by one."""
    return Recorder(directory, clock_ns=itertools.count(start).__next__)


# ------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    ("call", "answer", "call_read", "answer_read"),
    [
        (Read(), Found(value=None, version=0), Read(), Found(value=None, version=0)),
        (Read(), Found(value={"b": [1, "ü"], "a": 0}), Read(), Found(value=A_AND_B)),
        (
            Write(value="x", expected_version=0),
            Accepted(version=1),
            Write(value='"x"', expected_version=0),
            Accepted(version=1),
        ),
        (
            Write(value=1, expected_version=7),
            Refused(version=9, value=True),
            Write(value="1", expected_version=7),
            Refused(version=9, value="true"),
        ),
        (Write(value=1.0), Refused(version=9), Write(value="1.0"), Refused(version=9)),
        (Write(value=None), Refused(value=None), Write(value=None), Refused(value=None)),
        (
            CompareAndSet(expected=None, value="null"),
            Accepted(),
            CompareAndSet(expected=None, value='"null"'),
            Accepted(),
        ),
    ],
)
def test_what_is_recorded_is_read(
    tmp_path: Path, call: Call, answer: Answer, call_read: Call, answer_read: Answer
) -> None:
    with recorder(tmp_path) as record:
        record.answered(record.invoked("w1", "a/b", call), answer)
    assert read_directory(tmp_path) == [
        Operation(
            key="a/b",
            client="w1",
            call=call_read,
            outcome=Outcome.OK,
            invoked=1,
            answered=2,
            answer=answer_read,
        )
    ]


def test_every_outcome_is_read(tmp_path: Path) -> None:
    with recorder(tmp_path) as record:
        numbers = [record.invoked("c", "k", Write(value=number)) for number in range(4)]
        record.unknown(numbers[1])
        record.failed(numbers[2])
        record.answered(numbers[0], Accepted(version=1))
    found = [(each.call, each.outcome, each.answered) for each in read_directory(tmp_path)]
    assert found == [
        (Write(value="0"), Outcome.OK, 7),
        (Write(value="1"), Outcome.UNKNOWN, 5),
        (Write(value="2"), Outcome.FAILED, 6),
        (Write(value="3"), Outcome.UNKNOWN, None),
    ]


def test_recordings_are_merged_by_instant(tmp_path: Path) -> None:
    with recorder(tmp_path, 0) as one, recorder(tmp_path, 100) as two, recorder(tmp_path, 50):
        assert len({one.path, two.path}) == 2
        two.invoked("b", "k", Read())
        one.answered(one.invoked("a", "k", Read()), Found(value=1))
        two.invoked("b", "l", Read())
    found = [(each.invoked, each.client, each.key) for each in read_directory(tmp_path)]
    assert found == [(1, "a", "k"), (101, "b", "k"), (102, "b", "l")]


def test_every_line_is_in_the_file_when_the_method_returns(tmp_path: Path) -> None:
    record = recorder(tmp_path)
    number = record.invoked("c", "k", Read())
    assert [each.outcome for each in read_directory(tmp_path)] == [Outcome.UNKNOWN]
    record.answered(number, Found(value=1))
    assert [each.outcome for each in read_directory(tmp_path)] == [Outcome.OK]
    record.close()


def test_no_recording_is_written_over(tmp_path: Path) -> None:
    with recorder(tmp_path) as record:
        record.invoked("c", "k", Read())
        with pytest.raises(FileExistsError):
            recorder(tmp_path)
    assert len(read_directory(tmp_path)) == 1


def test_an_operation_ends_once(tmp_path: Path) -> None:
    with recorder(tmp_path) as record:
        number = record.invoked("c", "k", Read())
        record.failed(number)
        with pytest.raises(HistoryError, match="operation 0 was never invoked, or has ended"):
            record.answered(number, Found(value=1))
        with pytest.raises(HistoryError, match="operation 1 was never invoked, or has ended"):
            record.unknown(1)
    assert [each.outcome for each in read_directory(tmp_path)] == [Outcome.FAILED]


def test_what_is_no_json_is_not_recorded(tmp_path: Path) -> None:
    with recorder(tmp_path) as record, pytest.raises(ValueError, match="not JSON compliant"):
        record.invoked("c", "k", Write(value=float("nan")))


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("cut", range(1, len(FOUND)))
def test_a_torn_answer_leaves_the_operation_unknown(tmp_path: Path, cut: int) -> None:
    (tmp_path / "1.jsonl").write_text(HEAD + READ + FOUND[:-cut])
    assert [each.outcome for each in read_directory(tmp_path)] == [Outcome.UNKNOWN]


@pytest.mark.parametrize("text", ["", HEAD[:-1], HEAD, HEAD + READ[:-1]])
def test_a_torn_call_was_not_made(tmp_path: Path, text: str) -> None:
    (tmp_path / "1.jsonl").write_text(text)
    assert read_directory(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (READ, "1.jsonl:1: not the first line of a recording of format 1"),
        (HEAD.replace("1", "2", 1), "1.jsonl:1: not the first line of a recording of format 1"),
        (HEAD + READ[:-9] + "\n" + FOUND, "1.jsonl:2: no JSON: "),
        (HEAD + "[]\n", "1.jsonl:2: no JSON object: "),
        (HEAD + FOUND, "1.jsonl:2: operation 0 has no call"),
        (HEAD + READ + READ, "1.jsonl:3: operation 0 has no call, two calls or two ends"),
        (HEAD + READ + FOUND + FOUND, "1.jsonl:4: operation 0 has no call, two calls or two ends"),
        (HEAD + READ.replace("5", "7") + FOUND, "1.jsonl:3: operation 0: .*answered before"),
        (HEAD + READ.replace('"op":0', '"op":"0"'), "1.jsonl:2: has no number"),
        (HEAD + READ.replace("5", "5.5"), "1.jsonl:2: operation 0: no at, or a wrong one: 5.5"),
        (HEAD + READ.replace('"k"', "null"), "1.jsonl:2: operation 0: no key, or a wrong one"),
        (HEAD + READ.replace("read", "peek"), "1.jsonl:2: operation 0: no such call: peek"),
        (HEAD + READ.replace("read", "write"), "1.jsonl:2: operation 0: no value"),
        (HEAD + READ + FOUND.replace("found", "?"), "1.jsonl:3: operation 0: no such answer: ?"),
        (HEAD + READ + FOUND.replace('"value":1,', ""), "1.jsonl:3: operation 0: no value"),
        (HEAD + READ + FOUND.replace("1}", "true}"), "1.jsonl:3: operation 0: no version, or a"),
        (HEAD + READ + FOUND.replace("answer", "outcome"), "1.jsonl:3: operation 0: 'found' is"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "1.jsonl").write_text(text)
    with pytest.raises(HistoryError, match=why):
        read_directory(tmp_path)


def test_clocks_that_do_not_compare_are_not_merged(tmp_path: Path) -> None:
    paths = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    paths[0].write_text(HEAD + READ)
    paths[1].write_text(HEAD.replace('"b"', '"c"') + READ)
    with pytest.raises(HistoryError, match=r"1.jsonl and 2.jsonl were recorded on different"):
        read_recordings(paths)
    assert len(read_recordings(paths[:1])) == 1


def test_no_recording_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no recording in "):
        read_directory(tmp_path)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["0 invoke write 1", "and so on"], "a.log:2: not understood: and so on"),
        (["0 invoke write 1", "0 invoke write 2"], "a.log:2: client 0 takes no turns"),
        (["0 ok write 1"], "a.log:1: client 0 takes no turns"),
        (["0 invoke write 1", "0 ok read 1"], "a.log:2: client 0 asked for a write"),
        (["0 invoke write 1", "0 ok write 2"], "a.log:2: ok write 2 is no end of write 1"),
        (["0 invoke write 1", "0 fail write 1"], "a.log:2: fail write 1 is no end of write 1"),
        (["0 invoke read nil", "0 ok read :timed-out"], "a.log:2: ok read :timed-out is no end"),
        (["0 invoke cas 1", "0 info cas :timed-out"], "a.log:1: a cas of 1"),
        (["0 invoke cas [1 2]", "0 fail cas :timed-out"], "a.log:2: fail cas :timed-out is no"),
    ],
)
def test_a_wrong_line_of_a_log_is_named(tmp_path: Path, lines: Sequence[str], why: str) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{logged(line)}\n" for line in lines))
    with pytest.raises(HistoryError, match=re.escape(why)):
        read_etcd_log(log)


def logged(line: str) -> str:
    words = line.split(" ", 3)
    if len(words) < 4:
        return line
    client, phase, kind, given = words
    return f"INFO  jepsen.util - {client}\t:{phase}\t:{kind}\t{given}"


# --------------------------------------------------------------------------------- real processes


def run_clients(directory: Path, *clients: tuple[str, str]) -> list[Operation]:
    """Run client processes at the same time, each by its name and how it ends."""
    rounds = "20"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.histories.clients", directory, name, rounds, end],
            cwd=ROOT,
        )
        for name, end in clients
    ]
    codes = [process.wait(LIMIT_S) for process in started]
    assert codes == [-signal.SIGKILL if "dies" in end else 0 for _, end in clients]
    return read_directory(directory)


def test_processes_that_compare_are_linearizable_though_killed(tmp_path: Path) -> None:
    history = run_clients(
        tmp_path, ("a", "closes"), ("b", "dies-before"), ("c", "dies-after"), ("d", "closes")
    )
    verdict = check(history, VersionedEntry())[KEY]
    assert verdict.linearizable, verdict
    assert len(history) == 4 * 21 * 2
    unknown = [each.client for each in history if each.outcome is Outcome.UNKNOWN]
    assert sorted(unknown) == ["b", "c"]


def test_processes_that_do_not_compare_are_caught(tmp_path: Path) -> None:
    verdict = check(run_clients(tmp_path, ("a", "careless"), ("b", "careless")), VersionedEntry())
    assert not verdict[KEY].linearizable
