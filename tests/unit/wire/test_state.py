from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import messages as m
from mesh.core import shared as s
from mesh.errors import WireError
from mesh.wire import state
from mesh.wire.partitioner import partition_of
from tests.unit.wire.samples import CHANGE, ENTRY, JUDGED, KEPT, PROPOSALS, envelope


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_a_proposal_is_read_as_it_was_written(proposal: s.Proposal) -> None:
    assert state.decode_proposal(state.encode_proposal(proposal)) == proposal


@pytest.mark.parametrize("kept", KEPT)
def test_an_entry_is_read_as_it_was_written(kept: s.Entry | s.RulesEntry) -> None:
    assert state.decode_kept(state.encode_kept(kept)) == kept


def test_what_belongs_elsewhere_is_refused() -> None:
    with pytest.raises(WireError, match="Entry where a proposal is due"):
        state.decode_proposal(state.encode_kept(ENTRY))
    with pytest.raises(WireError, match="Change where an entry is due"):
        state.decode_kept(state.encode_proposal(CHANGE))
    with pytest.raises(WireError, match="the value is null"):
        state.decode_kept(None)


def test_an_entry_without_a_past_is_refused() -> None:
    with pytest.raises(WireError, match=r"Entry\.recent: it remembers no change"):
        state.decode_kept(state.encode_kept(replace(ENTRY, recent=())))


def test_keys() -> None:
    first, second, third = map(state.proposal_key, PROPOSALS)
    assert (first, second, third) == (b"suppliers/acme", b"suppliers/acme", state.RULES_KEY)
    assert state.proposal_key(replace(CHANGE, writes=())) == b""
    assert [state.kept_key(kept) for kept in KEPT] == [b"suppliers/acme", state.RULES_KEY]


def test_a_group_lives_in_one_partition() -> None:
    assert state.state_partition("a/b/c", 7) == partition_of(b"a/b", 7)
    assert state.state_partition("a/b/d", 7) == state.state_partition("a/b/c", 7)
    assert state.state_partition("alone", 7) == partition_of(b"", 7)


def test_a_verdict_leaves_out_what_is_too_large() -> None:
    assert JUDGED.entries == (
        m.Current("suppliers/acme", 4, b'{"risk":"low"}', "sourcing-eu", "3-0b", contested=True),
        m.Current("suppliers/x", 0, None, "", "", contested=False),
    )
    large = replace(ENTRY, value=b"x" * s.MAX_VALUE_BYTES)
    change = replace(CHANGE, writes=CHANGE.writes[:1] * 3)
    judgement = s.Judgement(s.Verdict.CONFLICT, "late", (large, large, replace(large, version=9)))
    told = m.judged(change, 17, judgement)
    assert [own.value is None for own in told.entries] == [False, False, True]
    assert told.entries[2].version == 9
    assert envelope(told).content == told
