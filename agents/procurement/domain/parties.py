"""Reading organisations, whether they stand in `parties` (OCDS 1.1) or where they act (1.0)."""

from __future__ import annotations

from collections.abc import Iterable

from agents.procurement.domain.reading import Node, Notes, string, text, translations
from agents.procurement.domain.wording import plain
from agents.procurement.dossier import Identifier, Party, Severity

LOCAL = "local"
"""The scheme of numbers that mean something only within one release."""

UNSPECIFIED = "unspecified"
"""The scheme of numbers that were published without saying which register they are from."""

ROLES = {
    "comprador": "buyer",
    "entidad que realiza la contratacion": "procuringEntity",
    "participante": "tenderer",
    "proveedor o contratista": "supplier",
    "acheteur": "buyer",
    "soumissionnaire": "tenderer",
    "fournisseur": "supplier",
}
"""Roles as publishers have written them where OCDS has a code."""

Directory = dict[str, Node]
"""The entries of `parties` by their id."""


def directory(release: Node, notes: Notes) -> Directory:
    """Return the entries of `parties` by id; of two with one id the first counts."""
    found: Directory = {}
    for entry in release["parties"].items():
        key = string(entry["id"])
        if key in found:
            explanation = f'Two parties share the id "{key}"; references to it mean the first.'
            notes.add("party-id-reused", Severity.LOW, explanation, found[key].at, entry.at)
        elif key:
            found[key] = entry
    return found


def read_party(node: Node, role: str, book: Directory, notes: Notes) -> Party | None:
    """Return who is mentioned at `node`, completed from `parties` by its id."""
    entry = book.get(string(node["id"]))
    sources = [node] if entry is None or entry.at == node.at else [node, entry]
    names = list(dict.fromkeys(name for source in sources for name in _names(source)))
    identifiers = tuple(dict.fromkeys(_identifiers(sources)))
    if not names and not identifiers:
        return None
    if not names:
        explanation = f"A {role} has a number and no name."
        notes.add("party-unnamed", Severity.LOW, explanation, node.at)
    return Party(
        name=names[0] if names else "",
        aliases=tuple(names[1:]),
        identifiers=identifiers,
        role=role,
        at=node.at,
    )


def read_parties(nodes: Iterable[Node], role: str, book: Directory, notes: Notes) -> list[Party]:
    """Return all that are mentioned at `nodes`."""
    found = (read_party(node, role, book, notes) for node in nodes)
    return [party for party in found if party is not None]


def with_role(release: Node, role: str, book: Directory, notes: Notes) -> list[Party]:
    """Return the entries of `parties` that have `role`, also under a local word for it."""
    found = []
    for entry in release["parties"].items():
        given = [string(member) for member in _listed(entry["roles"])]
        codes = [ROLES.get(plain(word), word) for word in given]
        if role in codes:
            found.append(entry)
        strange = [word for word, code in zip(given, codes, strict=True) if word != code]
        if strange:
            explanation = "Roles are given in words of the publisher instead of OCDS's codes."
            notes.add("role-not-a-code", Severity.INFO, explanation, entry["roles"].at)
    return read_parties(found, role, book, notes)


def _names(node: Node) -> list[str]:
    first = text(node, "name") or text(node, "legalName") or text(node["identifier"], "legalName")
    if first is None:
        return []
    legal = text(node["identifier"], "legalName")
    names = [first.text, *translations(node, "name"), *([legal.text] if legal else [])]
    return list(dict.fromkeys(names))


def _identifiers(sources: list[Node]) -> list[Identifier]:
    found = []
    for node in sources:
        if string(node["id"]):
            found.append(Identifier(scheme=LOCAL, id=string(node["id"])))
        for entry in (node["identifier"], *node["additionalIdentifiers"].items()):
            if string(entry["id"]):
                scheme = string(entry["scheme"]) or UNSPECIFIED
                found.append(Identifier(scheme=scheme, id=string(entry["id"])))
    return found


def _listed(node: Node) -> list[Node]:
    return [node] if isinstance(node.value, str) else list(node.items())
