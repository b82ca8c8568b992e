"""What a reader's wishes mean in offsets; the same rules for every implementation of the log."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.errors import WrongTopic


def resolve(
    topic: str,
    start: Mapping[int, int | None],
    known: Mapping[int, tuple[int, int]],
    where: str,
) -> tuple[dict[int, int], dict[int, int]]:
    """Return first offsets and ends by partition for what a reader asks.

    Args:
        topic: Its name.
        start: First offset wanted by partition, None for the end.
        known: Low and high watermark by partition; empty for a topic that is not there.
        where: The brokers' address, for the error.

    Raises:
        WrongTopic: The topic or one of the partitions is not there.
    """
    if not known:
        raise missing(topic, where)
    absent = sorted(start.keys() - known.keys())
    if absent:
        raise WrongTopic(
            f"topic {topic} at {where} has {len(known)} partitions, there is none numbered "
            f"{', '.join(map(str, absent))}; compare with `mesh topics plan`"
        )
    starts = {
        number: known[number][1] if first is None else max(first, known[number][0])
        for number, first in start.items()
    }
    return starts, {number: known[number][1] for number in start}


def missing(topic: str, where: str) -> WrongTopic:
    """Return the error for a topic that is not there."""
    return WrongTopic(f"topic {topic} is not at {where}; create it by `mesh topics apply`")
