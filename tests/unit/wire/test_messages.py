from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import messages as m
from mesh.core.facts import Record
from mesh.core.settings import MAX_REASON
from mesh.errors import WireError
from mesh.wire.facts import encode_fact
from mesh.wire.messages import decode_envelope, encode_envelope
from tests.unit.wire.samples import ADOPT, AWARD, OUTCOME, envelope

LONG = "x" * (MAX_REASON + 1)
CONTENTS = (AWARD, replace(AWARD, awarded=None), OUTCOME, ADOPT)


@pytest.mark.parametrize("content", CONTENTS)
def test_a_message_is_read_as_it_was_sent(content: m.Content) -> None:
    assert decode_envelope(encode_envelope(envelope(content))) == envelope(content)


def test_a_record_travels_as_it_stands_in_the_log() -> None:
    assert AWARD.awarded is not None
    log = {
        record.offset: encode_fact(record.fact, record.sequence, b"p" * 32)
        for record in (AWARD.opened, AWARD.awarded)
    }
    value = encode_envelope(envelope(AWARD), lambda record: log[record.offset])
    assert all(written in value for written in log.values())
    assert decode_envelope(value) == envelope(AWARD)


def test_a_record_that_is_not_at_hand_is_encoded_again() -> None:
    def written(record: Record) -> None:
        assert record in (AWARD.opened, AWARD.awarded)

    assert encode_envelope(envelope(AWARD), written) == encode_envelope(envelope(AWARD))


@pytest.mark.parametrize(
    ("content", "what"), [(AWARD, "Award.opened: begins with"), (OUTCOME, "Outcome.record: begins")]
)
def test_a_damaged_record_within_is_refused(content: m.Content, what: str) -> None:
    value = encode_envelope(envelope(content), lambda record: b"no fact")
    with pytest.raises(WireError, match=what):
        decode_envelope(value)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (m.Decline(task="t", call=1, reason=LONG), "Decline.reason"),
        (m.Cancel(workflow="w", task="t", award=-1, because=LONG, person=""), "Cancel.because"),
        (m.Cancel(workflow="w", task="t", award=-1, because="", person=LONG), "Cancel.person"),
        (m.Progress(workflow="w", task="t", award=1, lease_end_ms=0, text=LONG), "Progress.text"),
    ],
)
def test_what_a_peer_says_fits_into_a_fact(content: m.Content, field: str) -> None:
    with pytest.raises(WireError, match=f"{field}: longer than {MAX_REASON}"):
        decode_envelope(encode_envelope(envelope(content)))


def test_a_fact_is_no_message() -> None:
    with pytest.raises(WireError, match="TaskOpened where a message is due"):
        decode_envelope(encode_fact(AWARD.opened.fact, 0, bytes(32)))
    with pytest.raises(WireError, match="null"):
        decode_envelope(None)
