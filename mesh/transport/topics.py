"""The difference between the topics that should be and those that are, and closing it.

First the difference, for a person to read, then the change. Partition counts never change: keys
decide order, and a workflow lives in the partition that a fixed function gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from mesh.errors import WrongTopic
from mesh.ports import TopicAdmin, TopicPlan

PARTITIONS = "partitions"
FIXED_PARTITIONS = (
    "a partition count never changes: keys and workflows would move to other partitions; "
    "choose another mesh name, or set the count to what is there"
)


class Verdict(Enum):
    """What is to be done about a topic."""

    CREATE = "create"
    OK = "ok"
    ALTER = "alter"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One setting that is not as wanted. `obstacle` says why it cannot be altered, if it cannot."""

    setting: str
    wanted: str
    found: str
    obstacle: str = ""


@dataclass(frozen=True, kw_only=True)
class TopicChange:
    """One topic: what is wanted, and what to do."""

    plan: TopicPlan
    verdict: Verdict
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        details = "; ".join(
            f"{one.setting} is {one.found}, wanted {one.wanted}"
            + (f" ({one.obstacle})" if one.obstacle else "")
            for one in self.differences
        )
        return f"{self.verdict.value} {self.plan.name}" + (f": {details}" if details else "")


async def plan_topics(admin: TopicAdmin, wanted: Sequence[TopicPlan]) -> Sequence[TopicChange]:
    """Return what would have to be done, in the order of `wanted`; changes nothing."""
    found = await admin.describe([plan.name for plan in wanted])
    return [_compare(plan, found.get(plan.name)) for plan in wanted]


async def apply_topics(
    admin: TopicAdmin,
    changes: Sequence[TopicChange],
    *,
    progress: Callable[[TopicChange], None] | None = None,
) -> None:
    """Do what `plan_topics` returned; `progress` is told of each change that was made.

    Raises:
        WrongTopic: One of them is refused; then nothing was done at all.
    """
    refused = [change for change in changes if change.verdict is Verdict.REFUSE]
    if refused:
        raise WrongTopic("; ".join(str(change) for change in refused))
    for change in changes:
        if change.verdict is Verdict.OK:
            continue
        if change.verdict is Verdict.CREATE:
            await admin.create([change.plan])
        else:
            await admin.alter(
                change.plan.name, {one.setting: one.wanted for one in change.differences}
            )
        if progress is not None:
            progress(change)


def _compare(wanted: TopicPlan, found: TopicPlan | None) -> TopicChange:
    if found is None:
        return TopicChange(plan=wanted, verdict=Verdict.CREATE)
    differences = [
        Difference(setting=setting, wanted=value, found=found.config.get(setting, "unknown here"))
        for setting, value in wanted.config.items()
        # A broker that tells no settings at all has none: nothing to compare, nothing to alter.
        if found.config and not _same(value, found.config.get(setting))
    ]
    verdict = Verdict.ALTER if differences else Verdict.OK
    if wanted.partitions != found.partitions:
        verdict = Verdict.REFUSE
        count = Difference(
            setting=PARTITIONS,
            wanted=str(wanted.partitions),
            found=str(found.partitions),
            obstacle=FIXED_PARTITIONS,
        )
        differences.insert(0, count)
    return TopicChange(plan=wanted, verdict=verdict, differences=tuple(differences))


def _same(wanted: str, found: str | None) -> bool:
    """Whether two values mean the same; lists (`compact,delete`) have no order."""
    return found is not None and set(wanted.split(",")) == set(found.split(","))
