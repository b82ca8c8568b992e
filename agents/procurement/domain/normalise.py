"""From a release as published to a dossier: everything with its place, nothing invented."""

from __future__ import annotations

from agents.procurement.documents import Json, JsonObject, release_pointer
from agents.procurement.domain.completeness import find_missing, find_needs
from agents.procurement.domain.parties import Directory, directory, read_party, with_role
from agents.procurement.domain.pointers import resolve
from agents.procurement.domain.reading import Node, Notes, moment, string
from agents.procurement.domain.sections import (
    read_awards,
    read_bids,
    read_budget,
    read_contracts,
    read_tender,
)
from agents.procurement.dossier import Dossier, Party, Severity, Stage

DAMAGE = "\N{REPLACEMENT CHARACTER}"
"""What a decoder leaves where the bytes were in another encoding than it was told."""


def normalise(document: JsonObject) -> Dossier:
    """Return the dossier of the one release in `document`.

    Raises:
        DocumentError: `document` holds no release, or several.
    """
    base = release_pointer(document)
    release, notes = Node(at=base, value=resolve(document, base)), Notes()
    _check_frame(release, notes)
    book = directory(release, notes)
    dossier = Dossier(
        ocid=string(release["ocid"]),
        base=base,
        stage=_stage(release),
        language=string(release["language"]),
        published=moment(release["date"], notes),
        buyer=_buyer(release, book, notes),
        budget=read_budget(release, notes),
        tender=read_tender(release, book, notes),
        bids=read_bids(release, book, notes),
        awards=read_awards(release, book, notes),
        contracts=read_contracts(release, book, notes),
    )
    needs = find_needs(dossier)
    return dossier.model_copy(
        update={
            "findings": notes.findings(),
            "missing": find_missing(document, needs),
            "needs": len({need.at for need in needs}),
        }
    )


def _stage(release: Node) -> Stage:
    if any(isinstance(entry.value, dict) for entry in release["contracts"].items()):
        return Stage.CONTRACT
    if any(isinstance(entry.value, dict) for entry in release["awards"].items()):
        return Stage.AWARD
    tags = [string(tag) for tag in release["tag"].items()] or [string(release["tag"])]
    planned = string(release["tender"]["status"]) in ("planning", "planned")
    if tags == ["planning"] or (planned and "tender" not in tags) or not release["tender"].given:
        return Stage.PLANNING
    return Stage.TENDER


def _buyer(release: Node, book: Directory, notes: Notes) -> Party | None:
    found = read_party(release["buyer"], "buyer", book, notes)
    if found is not None and found.name:
        return found
    listed = with_role(release, "buyer", book, notes)
    return listed[0] if listed else found


def _check_frame(release: Node, notes: Notes) -> None:
    if isinstance(release["tag"].value, str):
        notes.add("not-a-list", Severity.LOW, '"tag" is a text, not a list.', release["tag"].at)
    damaged = [node.at for node in _texts(release) if DAMAGE in str(node.value)]
    if damaged:
        explanation = "Letters were lost when the text was decoded with the wrong character set."
        notes.add("text-damaged", Severity.LOW, explanation, *damaged)


def _texts(node: Node) -> list[Node]:
    value: Json = node.value
    if isinstance(value, str):
        return [node]
    members = [node[key] for key in sorted(value)] if isinstance(value, dict) else []
    entries = list(node.items()) if isinstance(value, list) else members
    return [found for entry in entries for found in _texts(entry)]
