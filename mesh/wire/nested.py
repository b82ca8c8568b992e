"""The classes of the records and enums that stand inside others, by their names in the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh.core import effects, registry, tasks, values


class WireRecord(NamedTuple):
    """A fact in its place, inside a message: `value` is what stands in the log."""

    offset: int
    append_ms: int
    value: bytes


class KafkaHeader(NamedTuple):
    """One header of a Kafka record."""

    name: str
    value: bytes


NESTED: Mapping[str, type] = {
    "Acceptance": values.Acceptance,
    "Amount": values.Amount,
    "Ancestor": values.Ancestor,
    "CapabilityCard": registry.CapabilityCard,
    "CardState": registry.CardState,
    "Cause": values.Cause,
    "Charter": values.Charter,
    "Effect": values.Effect,
    "Handler": registry.Handler,
    "Header": tasks.Header,
    "Holder": values.Holder,
    "Inbox": values.Inbox,
    "KafkaHeader": KafkaHeader,
    "Mode": values.Mode,
    "Offer": values.Offer,
    "Position": effects.Position,
    "Record": WireRecord,
    "StepKind": values.StepKind,
    "Supervision": tasks.Supervision,
    "TaskPartition": values.TaskPartition,
    "Terms": values.Terms,
    "Wait": values.Wait,
    "WorkOutcome": values.Outcome,
}
