"""The policy of a mesh: a file that an operator writes, and how it differs from what holds.

What the file says about shared state becomes the rules that every partition of `M.changes` is told;
the whole of it stands on `M.policy`, where the watchman reads the rest. What may stand in it is
said in `mesh.wire.policies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mesh.core.detectors.limits import Limits
from mesh.core.keys import NO_RULES, Rule, Rules
from mesh.core.responses import DEFAULTS
from mesh.errors import UsageError
from mesh.wire.entries import PolicyDocument
from mesh.wire.policies import Document, parse

MAX_DOCUMENT_BYTES = 64 * 1_024
"""Of a file: with what stands around it, it is one event, and so are the rules in it."""


def read_file(path: Path) -> tuple[str, Document]:
    """Return the text of a policy file and what it says.

    Raises:
        UsageError: It cannot be read, or something in it is wrong; the message names the field.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a policy file") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise UsageError(f"{path}: {len(data):,} bytes, {MAX_DOCUMENT_BYTES:,} are allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no UTF-8 at byte {error.start}; save it as UTF-8") from error
    return text, parse(text, str(path))


# --- what holds, and what would change ----------------------------------------------------------


class Held(NamedTuple):
    """What holds in a mesh: the document, and the rules that each partition was told."""

    document: PolicyDocument | None
    partitions: Mapping[int, Rules]


class Contents(NamedTuple):
    """What a policy says: the rules of shared state, and by field what the watchman goes by."""

    rules: Rules
    watching: Mapping[str, str]


class Difference(NamedTuple):
    """One thing that a policy would change: "" for what was not or will not be there."""

    what: str
    before: str
    after: str
    note: str = ""


class Step(NamedTuple):
    """One partition of `M.changes`: which version holds there, and whether it is to be told."""

    partition: int
    held: int
    pending: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done about a policy. `held` is the version on `M.policy`, 0 for none."""

    contents: Contents
    held: int
    document: bool
    differences: tuple[Difference, ...]
    steps: tuple[Step, ...]

    @property
    def rules(self) -> Rules:
        """What every partition is to be told."""
        return self.contents.rules

    @property
    def pending(self) -> bool:
        """Whether anything is to be done."""
        return self.document or any(step.pending for step in self.steps)

    def done(self) -> Plan:
        """Return this plan as it is after it was done: what differed, and nothing to do."""
        steps = tuple(Step(own.partition, self.rules.version, False) for own in self.steps)
        return replace(self, held=self.rules.version, document=False, steps=steps)


def plan(document: Document, held: Held) -> Plan:
    """Compare a policy with what holds.

    Raises:
        UsageError: Its contents differ, and its version does not grow.
    """
    contents = contents_of(document)
    rules, before = contents.rules, contents_held(held.document)
    steps = tuple(
        Step(partition, own.version, own != rules)
        for partition, own in sorted(held.partitions.items())
    )
    differs = before != contents
    above = max(
        [before.rules.version if differs else 0, *(step.held for step in steps if step.pending)],
        default=0,
    )
    if rules.version <= above:
        raise UsageError(
            f"version {rules.version} does not grow: version {above} holds, with other contents; "
            f"write version = {above + 1}"
        )
    return Plan(
        contents=contents,
        held=held.document.version if held.document is not None else 0,
        document=differs,
        differences=tuple(differences(before, contents)),
        steps=steps,
    )


def contents_of(document: Document) -> Contents:
    """Return what a document says, comments and order aside."""
    return Contents(document.rules(), document.watching())


def contents_held(document: PolicyDocument | None) -> Contents:
    """Return what a policy that holds says; of one that another release wrote, its version."""
    if document is None:
        return Contents(NO_RULES, {})
    try:
        return contents_of(parse(document.document, document.name))
    except UsageError:
        return Contents(Rules(document.version), {})


def differences(before: Contents, after: Contents) -> Iterator[Difference]:
    """Yield what differs between two versions of a policy, in the order of a file."""
    yield from _of_rules(before.rules, after.rules)
    for field in sorted({*before.watching, *after.watching}):
        was, will = before.watching.get(field, ""), after.watching.get(field, "")
        if was != will:
            yield Difference(field, was, will, "" if will else _default(field))


def _default(field: str) -> str:
    """Say what holds of a limit, or an incident, that is not named any more."""
    name = field.rpartition(".")[2]
    if field.startswith("incidents."):
        return f"it is {DEFAULTS[name].response} then"
    if field.count(".") == 1:
        return f"{getattr(Limits(), name):,} are allowed then"
    return "a more general limit holds then"


def _of_rules(before: Rules, after: Rules) -> Iterator[Difference]:
    if before.objectives != after.objectives:
        order = (", ".join(before.objectives), ", ".join(after.objectives))
        yield Difference("objectives", *order, "arbitration prefers the first")
    old = {own.prefix.rstrip("/"): own for own in before.rules}
    new = {own.prefix.rstrip("/"): own for own in after.rules}
    for prefix in sorted({*old, *new}):
        was, will = _resolution(old.get(prefix)), _resolution(new.get(prefix))
        if was != will:
            yield Difference(prefix, was, will, "" if will else _without(after, prefix))


def _without(rules: Rules, prefix: str) -> str:
    """Say what becomes of the keys under a prefix that has no rule of its own any more."""
    rule = rules.rule_for(prefix)
    return f"the rule of {rule.prefix} holds there" if rule else "writes there will be refused"


def _resolution(rule: Rule | None) -> str:
    if rule is None:
        return ""
    return f"{rule.resolution} by {rule.merge}" if rule.merge else str(rule.resolution)
