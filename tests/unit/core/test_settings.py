"""The defaults fit one another."""

from __future__ import annotations

from dataclasses import fields

from mesh.core import settings as s
from mesh.core.budget import fits
from mesh.core.partitions import FORGET_LATER_MS
from mesh.core.watches import SWEEP_MS

DEFAULT = s.Settings()


def test_everything_that_is_limited_is_above_nothing() -> None:
    for field in fields(DEFAULT):
        value = getattr(DEFAULT, field.name)
        assert min(value) > 0 if isinstance(value, tuple) else value > 0


def test_a_default_budget_is_below_the_ceiling() -> None:
    assert fits(DEFAULT.budget, DEFAULT.ceiling)


def test_times_lie_in_the_order_that_the_protocol_needs() -> None:
    assert SWEEP_MS < DEFAULT.clock_skew_ms < DEFAULT.supervision_lease_ms // 3
    assert DEFAULT.clock_skew_ms < DEFAULT.work_lease_ms // 3
    assert DEFAULT.repeat_ms < DEFAULT.work_lease_ms
    assert DEFAULT.bids_wait_ms <= DEFAULT.bids_wait_max_ms
    assert DEFAULT.work_lease_ms < DEFAULT.suspend_after_ms < DEFAULT.timeout_ms
    assert DEFAULT.timeout_ms + s.EVENT_WINDOW_MS + FORGET_LATER_MS < DEFAULT.retention_ms


def test_a_body_fits_into_an_event() -> None:
    assert s.MAX_BODY_BYTES < s.MAX_EVENT_BYTES
