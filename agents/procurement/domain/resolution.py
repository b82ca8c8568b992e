"""Telling which mentions mean the same company or person, and how sure that is.

Identifiers decide first: one number in one register is one company, two numbers in one register are
two, whatever the names say. Names are compared without accents, punctuation and legal form; a
different legal form or a different number in the name makes it another company.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from rapidfuzz import fuzz

from agents.procurement.domain.names import CompanyName, numerals, parse_name
from agents.procurement.domain.parties import LOCAL, UNSPECIFIED
from agents.procurement.domain.wording import words
from agents.procurement.dossier import Finding, Party, Severity, finding
from agents.procurement.models import Resolution, Supplier

SAME_IDENTIFIER = Decimal("1.00")
SAME_LOCAL_ID = Decimal("0.97")
SAME_NAME = Decimal("0.95")
SAME_CORE = Decimal("0.90")
CUT_OFF = Decimal("0.80")
"""How sure each kind of agreement makes it; a fuzzy one counts its score times 0.9."""
FUZZY_FACTOR = Decimal("0.9")
FUZZY_SCORE = 92.0
"""Below this, rapidfuzz's token-sort ratio also joins names that only share common words."""
UNLIKE_SCORE = 50.0
"""Below this (token-set ratio) two names have hardly a word in common."""
MIN_CUT = 18
"""Characters that a name cut off by a column's width must share with the longer one."""
MAX_PAIRED = 400
"""Distinct mentions compared in pairs; 80,000 comparisons take about half a second."""


class Link(NamedTuple):
    """Two mentions held to be the same, and why."""

    confidence: Decimal
    because: str


class _Known(NamedTuple):
    """All mentions that agree to the letter, taken apart once."""

    parties: tuple[Party, ...]
    names: tuple[CompanyName, ...]
    register: frozenset[tuple[str, str]]
    local: frozenset[str]


def resolve_suppliers(mentions: Iterable[Party], buyer: Party | None = None) -> Resolution:
    """Group `mentions` into suppliers, in the order in which each is first mentioned.

    Above `MAX_PAIRED` distinct mentions the later ones are only joined where they agree to the
    letter, and a finding says so.
    """
    known = _distinct(mentions)
    groups, weakest = _group(known)
    findings = [*_conflicts(known), *_spellings(groups), *_rivals(groups)]
    if buyer is not None:
        findings += _buys_from_itself(known, buyer)
    if len(known) > MAX_PAIRED:
        explanation = f"Only the first {MAX_PAIRED} different mentions were compared in pairs."
        findings.append(_finding("too-many-mentions", Severity.LOW, explanation, known[-1].parties))
    suppliers = tuple(_supplier(group, weakest[number]) for number, group in enumerate(groups))
    return Resolution(suppliers=suppliers, findings=tuple(findings))


def link(first: Party, second: Party) -> Link | None:
    """Return why both are the same, with a confidence; None where nothing says so."""
    return _link(_know([first]), _know([second]))


def _link(first: _Known, second: _Known) -> Link | None:
    shared = first.register & second.register
    if shared:
        scheme, number = min(shared)
        return Link(SAME_IDENTIFIER, f"both have the number {number} in the register {scheme}")
    if _contradict(first, second):
        return None
    if first.local & second.local:
        return Link(SAME_LOCAL_ID, "both refer to the same party of the release")
    found = [_link_names(one, other) for one in first.names for other in second.names]
    return max((agreement for agreement in found if agreement), default=None)


def _link_names(one: CompanyName, other: CompanyName) -> Link | None:
    if one == other:
        return Link(SAME_NAME, "the names agree apart from accents and punctuation")
    if _cut(one, other):
        return Link(CUT_OFF, "one name is the beginning of the other, as a short column cuts it")
    other_company = bool(one.form and other.form) and one.form != other.form
    if other_company or numerals(one.core) != numerals(other.core):
        return None
    if one.core == other.core:
        return Link(SAME_CORE, "the names agree apart from the legal form, which one leaves out")
    score = fuzz.token_sort_ratio(one.core, other.core)
    if score < FUZZY_SCORE:
        return None
    confidence = (Decimal(f"{score:.0f}") / 100 * FUZZY_FACTOR).quantize(Decimal("0.01"))
    return Link(confidence, f"the names agree to {score:.0f} % (token-sort ratio)")


def _cut(one: CompanyName, other: CompanyName) -> bool:
    whole = (f"{name.core}{name.form}".replace(" ", "") for name in (one, other))
    short, long = sorted(whole, key=len)
    return len(short) >= MIN_CUT and long.startswith(short) and one.core != other.core


def _contradict(first: _Known, second: _Known) -> bool:
    """Tell whether both are numbered in one register, differently. No scheme is no register."""
    ours, theirs = ({scheme for scheme, _ in known.register} for known in (first, second))
    return bool((ours & theirs) - {UNSPECIFIED}) and not first.register & second.register


def _distinct(mentions: Iterable[Party]) -> list[_Known]:
    alike: dict[tuple[object, ...], list[Party]] = {}
    for party in mentions:
        if party.name or party.identifiers:
            alike.setdefault((party.name, party.aliases, party.identifiers), []).append(party)
    return [_know(parties) for parties in alike.values()]


def _know(parties: list[Party]) -> _Known:
    party = parties[0]
    names = [parse_name(name) for name in (party.name, *party.aliases) if words(name)]
    register = register_numbers(party)
    local = frozenset(entry.id for entry in party.identifiers if entry.scheme == LOCAL)
    return _Known(tuple(parties), tuple(dict.fromkeys(names)), register, local)


def register_numbers(party: Party) -> frozenset[tuple[str, str]]:
    """Return the registers in which a party is numbered, and its numbers there."""
    return frozenset(
        (entry.scheme.casefold(), _bare(entry.id))
        for entry in party.identifiers
        if entry.scheme != LOCAL and any(char in "123456789" for char in entry.id)
    )


def _bare(identifier: str) -> str:
    return "".join(char for char in identifier.upper() if char.isalnum())


def _group(known: list[_Known]) -> tuple[list[list[_Known]], list[Link]]:
    """Join the surest links first; a link is dropped where it would join two registered numbers."""
    pairs = combinations(range(min(len(known), MAX_PAIRED)), 2)
    found = [(_link(known[i], known[j]), i, j) for i, j in pairs]
    surest = sorted(
        ((agreement, i, j) for agreement, i, j in found if agreement),
        key=lambda entry: (-entry[0].confidence, entry[1], entry[2]),
    )
    alone = Link(SAME_IDENTIFIER, "mentioned in one way only")
    group_of = list(range(len(known)))
    groups = {number: [number] for number in group_of}
    weakest = dict.fromkeys(group_of, alone)
    for agreement, i, j in surest:
        kept, joined = sorted((group_of[i], group_of[j]))
        if kept == joined or _clash(known, groups[kept], groups[joined]):
            continue
        for member in groups[joined]:
            group_of[member] = kept
        groups[kept] = sorted(groups[kept] + groups.pop(joined))
        weakest[kept] = min(weakest[kept], weakest.pop(joined), agreement)
    members = [[known[member] for member in group] for group in groups.values()]
    return members, list(weakest.values())


def _clash(known: list[_Known], ours: list[int], theirs: list[int]) -> bool:
    return any(_contradict(known[one], known[other]) for one in ours for other in theirs)


def _supplier(group: list[_Known], weakest: Link) -> Supplier:
    parties = [party for known in group for party in known.parties]
    spellings = tuple(dict.fromkeys(party.name for party in parties if party.name))
    numbers = sorted({f"{scheme}:{number}" for known in group for scheme, number in known.register})
    return Supplier(
        name=max(spellings, key=len, default=""),
        spellings=spellings,
        identifiers=tuple(numbers),
        roles=tuple(dict.fromkeys(party.role for party in parties)),
        mentions=tuple(dict.fromkeys(party.at for party in parties)),
        confidence=weakest.confidence,
        because=weakest.because,
    )


def _conflicts(known: list[_Known]) -> list[Finding]:
    findings = []
    for first, second in combinations(known[:MAX_PAIRED], 2):
        parties = (first.parties[0], second.parties[0])
        names = f'"{parties[0].name}" and "{parties[1].name}"'
        if first.register & second.register and first.names and second.names:
            alike = max(
                fuzz.token_set_ratio(a.core, b.core) for a in first.names for b in second.names
            )
            if alike < UNLIKE_SCORE:
                explanation = f"{names} share a registered number, and their names do not agree."
                findings.append(
                    _finding("one-number-two-names", Severity.MEDIUM, explanation, parties)
                )
        elif _contradict(first, second) and set(first.names) & set(second.names):
            explanation = f"{names} have one name and different registered numbers."
            findings.append(_finding("one-name-two-numbers", Severity.LOW, explanation, parties))
    return findings


def _spellings(groups: list[list[_Known]]) -> list[Finding]:
    findings = []
    for group in groups:
        parties = list({p.name: p for known in group for p in known.parties if p.name}.values())
        if len(parties) > 1:
            names = ", ".join(f'"{party.name}"' for party in parties)
            explanation = f"Written in {len(parties)} ways, held to be one supplier: {names}."
            findings.append(_finding("spelled-differently", Severity.INFO, explanation, parties))
    return findings


def _rivals(groups: list[list[_Known]]) -> list[Finding]:
    findings = []
    for group in groups:
        bidders = [party for known in group for party in known.parties if party.role == "tenderer"]
        if len({party.at for party in bidders}) > 1:
            names = ", ".join(f'"{name}"' for name in dict.fromkeys(p.name for p in bidders))
            severity = Severity.HIGH if len({p.name for p in bidders}) > 1 else Severity.MEDIUM
            explanation = f"{len(bidders)} of the tenderers are one and the same: {names}."
            findings.append(_finding("tenderers-are-one", severity, explanation, bidders))
    return findings


def _buys_from_itself(known: list[_Known], buyer: Party) -> list[Finding]:
    buying, findings = _know([buyer]), []
    for selling in known:
        party = selling.parties[0]
        if party.role not in ("supplier", "tenderer") or party.at == buyer.at:
            continue
        agreement = _link(buying, selling)
        if agreement and agreement.confidence >= SAME_CORE:
            explanation = f'The buyer "{buyer.name}" is its own {party.role}: {agreement.because}.'
            findings.append(
                _finding("supplier-is-buyer", Severity.HIGH, explanation, (buyer, party))
            )
    return findings


def _finding(code: str, severity: Severity, explanation: str, parties: Iterable[Party]) -> Finding:
    return finding(code, severity, explanation, *(party.at for party in parties))
