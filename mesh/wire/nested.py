"""The classes of the records and enums that stand inside others, by their names in the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh.core import effects, keys, messages, registry, shared, standing, tasks, values


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
    "Candidate": shared.Candidate,
    "CapabilityCard": registry.CapabilityCard,
    "CardState": registry.CardState,
    "Cause": values.Cause,
    "Charter": values.Charter,
    "Current": messages.Current,
    "Effect": values.Effect,
    "Handler": registry.Handler,
    "Header": tasks.Header,
    "Holder": values.Holder,
    "Inbox": values.Inbox,
    "KafkaHeader": KafkaHeader,
    "Mode": values.Mode,
    "Offer": values.Offer,
    "Past": shared.Past,
    "Position": effects.Position,
    "Record": WireRecord,
    "Resolution": keys.Resolution,
    "Rival": messages.Rival,
    "Rule": keys.Rule,
    "Rules": keys.Rules,
    "StepKind": values.StepKind,
    "Supervision": tasks.Supervision,
    "Tally": standing.Tally,
    "TaskPartition": values.TaskPartition,
    "Terms": values.Terms,
    "Verdict": shared.Verdict,
    "Version": values.Version,
    "Wait": values.Wait,
    "WorkOutcome": values.Outcome,
    "Write": shared.Write,
}
