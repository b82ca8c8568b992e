"""The policy of a mesh: a file that an operator writes, and how it differs from what holds.

The file is TOML. What it says about shared state becomes the rules that every partition of
`M.changes` is told; the whole of it stands on `M.policy`. A word that this release does not know is
refused: a rule that nobody follows is worse than none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mesh.core.keys import MAX_RULES, NO_RULES, Resolution, Rule, Rules, check_rules
from mesh.core.merges import MERGES
from mesh.core.settings import MAX_NAME
from mesh.errors import DefinitionError, UsageError
from mesh.wire.entries import PolicyDocument
from mesh.wire.primitives import MAX_LONG

NAME: Final = "mesh"
"""The key of the one policy there is so far: the whole mesh's."""
MAX_DOCUMENT_BYTES = 64 * 1_024
"""Of a file: with what stands around it, it is one event, and so are the rules in it."""
MAX_SHOWN = 3
"""Mistakes that one line names: the others come to light when these are mended."""

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class StateRule(BaseModel):
    """One `[[state]]` table: how conflicts are resolved under a prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prefix: Name
    resolution: Literal["reject", "merge", "arbitrate"]
    merge: str = ""


class Document(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int = Field(ge=1, le=MAX_LONG)
    objectives: list[Name] = Field(default_factory=list, max_length=MAX_RULES)
    state: list[StateRule] = Field(default_factory=list, max_length=MAX_RULES)

    def rules(self) -> Rules:
        """Return what is said about shared state; in an order, so that equal ones are equal."""
        found = (Rule(own.prefix, Resolution(own.resolution), own.merge) for own in self.state)
        return Rules(self.version, tuple(self.objectives), tuple(sorted(found)))


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


def parse(text: str, where: str) -> Document:
    """Return what the text of a policy says.

    Raises:
        UsageError: Something in it is wrong; the message begins with `where`, names the field and
            says what to do.
    """
    try:
        document = Document(**tomllib.loads(text))
        check_rules(document.rules()._replace(rules=_as_written(document)))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: no TOML: {error}") from error
    except ValidationError as error:
        raise UsageError(f"{where}: {'; '.join(_mistakes(error))}") from error
    except DefinitionError as error:
        raise UsageError(f"{where}: {str(error).replace('rules[', 'state[', 1)}") from error
    return document


def _as_written(document: Document) -> tuple[Rule, ...]:
    """Return the rules in the order of the file, so that a mistake has the number it has there."""
    return tuple(Rule(own.prefix, Resolution(own.resolution), own.merge) for own in document.state)


_HINTS: Mapping[str, str] = {
    "version": "a number above 0 that grows with each change of the file",
    "objectives": 'names, the most important first: objectives = ["risk", "cost"]',
    "state": "one [[state]] table for each prefix of keys",
    "prefix": "`*`, or segments parted by `/`, like suppliers/",
    "resolution": f"one of {', '.join(Resolution)}",
    "merge": f"one of {', '.join(sorted(MERGES))}, and only where resolution is merge",
}


def _mistakes(error: ValidationError) -> Iterator[str]:
    every = error.errors()
    for own in every[:MAX_SHOWN]:
        yield _mistake(own["loc"], own["type"], own["msg"])
    if len(every) > MAX_SHOWN:
        yield f"and {len(every) - MAX_SHOWN} more"


def _mistake(place: tuple[int | str, ...], kind: str, message: str) -> str:
    where = "".join(f"[{own}]" if isinstance(own, int) else f".{own}" for own in place).lstrip(".")
    names = [own for own in place if isinstance(own, str)]
    name = names[-1] if names else ""
    if kind == "extra_forbidden":
        known = list((StateRule if len(names) > 1 else Document).model_fields)
        near = get_close_matches(name, known, n=1)
        return f"{where}: there is no such field; " + (
            f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        )
    said = "it is missing" if kind == "missing" else message[:1].lower() + message[1:]
    return f"{where}: {said}; it is {_HINTS[name]}"


# --- what holds, and what would change ----------------------------------------------------------


class Held(NamedTuple):
    """What holds in a mesh: the document, and the rules that each partition was told."""

    document: PolicyDocument | None
    partitions: Mapping[int, Rules]


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

    rules: Rules
    held: int
    document: bool
    differences: tuple[Difference, ...]
    steps: tuple[Step, ...]

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
    rules = document.rules()
    before = rules_of(held.document)
    steps = tuple(
        Step(partition, own.version, own != rules)
        for partition, own in sorted(held.partitions.items())
    )
    differs = before != rules
    above = max(
        [before.version if differs else 0, *(step.held for step in steps if step.pending)],
        default=0,
    )
    if rules.version <= above:
        raise UsageError(
            f"version {rules.version} does not grow: version {above} holds, with other contents; "
            f"write version = {above + 1}"
        )
    return Plan(
        rules=rules,
        held=held.document.version if held.document is not None else 0,
        document=differs,
        differences=tuple(differences(before, rules)),
        steps=steps,
    )


def rules_of(document: PolicyDocument | None) -> Rules:
    """Return the rules of a document; of one that another release wrote, only its version."""
    if document is None:
        return NO_RULES
    try:
        return parse(document.document, document.name).rules()
    except UsageError:
        return Rules(document.version)


def differences(before: Rules, after: Rules) -> Iterator[Difference]:
    """Yield what differs between two versions of the rules, in the order of a file."""
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
