"""Keys of shared state: their shape, their groups, the scopes that reach them, and their rules.

A key is `segment/segment/...`. Keys that share the part before the last `/` are a **group**: they
live in one partition, in one order, so only they can be changed together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from mesh.core.merges import MERGES
from mesh.core.settings import MAX_NAME, MAX_REASON
from mesh.errors import DefinitionError

_KEY = re.compile(r"[A-Za-z0-9._:@+-]+(?:/[A-Za-z0-9._:@+-]+)*")
_PREFIX = re.compile(r"\*|[A-Za-z0-9._:@+-]+(?:/[A-Za-z0-9._:@+-]+)*/?")
EVERYTHING = "*"
MAX_RULES = 200
"""Every write looks through them; as many objectives."""


class Resolution(StrEnum):
    """What becomes of a change that expected another version than the current one."""

    REJECT = "reject"
    MERGE = "merge"
    ARBITRATE = "arbitrate"


class Rule(NamedTuple):
    """How conflicts are resolved under a prefix. `merge` names the merge, "" for the others."""

    prefix: str
    resolution: Resolution
    merge: str = ""


class Rules(NamedTuple):
    """Everything that a verdict depends on beside the entries: grows by versions.

    `objectives` is the enterprise's order of priority, the most important first.
    """

    version: int
    objectives: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def rule_for(self, key: str) -> Rule | None:
        """Return the rule with the longest prefix that reaches the key, None if none does."""
        reaching = [rule for rule in self.rules if reaches((rule.prefix,), key)]
        return max(reaching, key=_length, default=None)

    def rank(self, objective: str) -> int:
        """Return the place of an objective, 0 for the most important; unknown ones come last."""
        if objective in self.objectives:
            return self.objectives.index(objective)
        return len(self.objectives)


NO_RULES = Rules(0)


def check_rules(rules: Rules) -> Rules:
    """Return rules that can be applied.

    Raises:
        DefinitionError: A prefix, a merge or an objective is wrong; the message names it.
    """
    for what, given in (("rules", len(rules.rules)), ("objectives", len(rules.objectives))):
        if given > MAX_RULES:
            raise DefinitionError(f"{what}: {given} are given, {MAX_RULES} are allowed")
    for number, rule in enumerate(rules.rules):
        where = f"rules[{number}]"
        _require(is_prefix(rule.prefix), f"{where}.prefix", rule.prefix)
        merging = rule.resolution is Resolution.MERGE
        if merging and rule.merge not in MERGES:
            known = ", ".join(sorted(MERGES))
            raise DefinitionError(f"{where}.merge {rule.merge!r}: it is one of {known}")
        if not merging and rule.merge:
            raise DefinitionError(f"{where}.merge: only a rule that merges has one")
        if rule.resolution is Resolution.ARBITRATE and not rules.objectives:
            raise DefinitionError(f"{where}: to arbitrate needs objectives in order of priority")
    _once([rule.prefix.rstrip("/") for rule in rules.rules], "prefix")
    for number, objective in enumerate(rules.objectives):
        if not 0 < len(objective) <= MAX_NAME:
            raise DefinitionError(f"objectives[{number}]: it has 1 to {MAX_NAME} characters")
    _once(rules.objectives, "objective")
    return rules


def is_key(key: str) -> bool:
    """Say whether a key can be called so."""
    return len(key) <= MAX_NAME and _KEY.fullmatch(key) is not None


def is_prefix(prefix: str) -> bool:
    """Say whether a scope or a rule can be given so: `*`, or whole segments of a key."""
    return len(prefix) <= MAX_NAME and _PREFIX.fullmatch(prefix) is not None


def group_of(key: str) -> str:
    """Return the part before the last `/`, "" if there is none: what decides the partition."""
    return key.rpartition("/")[0]


def reaches(prefixes: Iterable[str], key: str) -> bool:
    """Say whether one of these prefixes reaches a key: by whole segments, or as `*`."""
    return any(
        prefix == EVERYTHING or key == prefix or key.startswith(prefix.rstrip("/") + "/")
        for prefix in prefixes
    )


def apart(keys: Sequence[str]) -> str:
    """Say which of these is no key, or why they cannot be changed together."""
    for key in keys:
        if not is_key(key):
            return f"{key[:MAX_NAME]!a} is no key: segments parted by `/`, {MAX_NAME} long"
    if len(set(keys)) < len(keys):
        return "a change has each key once"
    if len({group_of(key) for key in keys}) > 1:
        named = ", ".join(sorted(keys))
        reason = "keys are changed together where they share the part before the last `/`; these "
        return f"{reason}do not: {named}"[:MAX_REASON]
    return ""


def _length(rule: Rule) -> int:
    return 0 if rule.prefix == EVERYTHING else len(rule.prefix.rstrip("/"))


def _require(holds: bool, field: str, given: str) -> None:
    if not holds:
        raise DefinitionError(f"{field} {given!r}: it is `*`, or segments parted by `/`")


def _once(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DefinitionError(f"{what} {name!r} is given twice")
        seen.add(name)
