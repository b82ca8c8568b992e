"""Telling from the wording how suppliers were sought, in several languages.

OCDS has four codes; publishers put local terms in their place. What the table does not know stays
unknown: a red flag that depends on the method is then not raised.
"""

from __future__ import annotations

from typing import NamedTuple

from agents.procurement.domain.reading import Node, Notes, string
from agents.procurement.domain.wording import plain
from agents.procurement.dossier import Method, Severity


class Kind(NamedTuple):
    """What a term means: OCDS's code, whether others could win, whether it is a short procedure."""

    code: str
    competitive: bool
    simplified: bool = False


OPEN = Kind("open", competitive=True)
SELECTIVE = Kind("selective", competitive=True)
LIMITED = Kind("limited", competitive=False)
DIRECT = Kind("direct", competitive=False)
QUOTATION = Kind("open", competitive=True, simplified=True)

TERMS: dict[str, Kind] = {
    "open": OPEN,
    "selective": SELECTIVE,
    "limited": LIMITED,
    "direct": DIRECT,
    # English
    "open procedure": OPEN,
    "open tender": OPEN,
    "restricted procedure": SELECTIVE,
    "request for quotations": QUOTATION,
    "single source": DIRECT,
    "the contract is awarded to a single supplier without competition": DIRECT,
    # Spanish, Portuguese
    "licitacion publica": OPEN,
    "concurso publico": OPEN,
    "invitacion a cuando menos tres": Kind("limited", competitive=True, simplified=True),
    "adjudicacion directa": DIRECT,
    "contratacion directa": DIRECT,
    "ajuste direto": DIRECT,
    # French, German, Italian
    "appel d'offres ouvert": OPEN,
    "appel d'offres restreint": SELECTIVE,
    "gre a gre": DIRECT,
    "offenes verfahren": OPEN,
    "nicht offenes verfahren": SELECTIVE,
    "freihandige vergabe": DIRECT,
    "procedura aperta": OPEN,
    "affidamento diretto": DIRECT,
    # Romanian
    "licitatie publica": OPEN,
    "licitatie deschisa": OPEN,
    "licitatie restransa": SELECTIVE,
    "cerere a ofertelor de preturi": QUOTATION,
    # Ukrainian, Russian
    "відкриті торги": OPEN,
    "открытыи конкурс": OPEN,
    "закупка у единственного поставщика": DIRECT,  # noqa: RUF001  # Cyrillic is meant
    # Chinese
    "公開招標": OPEN,
    "公开招标": OPEN,
    "選擇性招標": SELECTIVE,
    "限制性招標(經公開評選或公開徵求)": Kind("limited", competitive=True),
    "限制性招標(未經公開評選或公開徵求)": DIRECT,
    "公開取得報價單或企劃書": QUOTATION,
    "单一来源采购": DIRECT,
}
_BY_LENGTH = sorted(TERMS.items(), key=lambda term: -len(term[0]))


def recognise(published: str) -> Kind | None:
    """Return what `published` means, by the longest known term that it begins with."""
    wording = plain(published).strip(" .")
    return next((kind for term, kind in _BY_LENGTH if _begins(wording, term)), None)


def read_method(tender: Node, notes: Notes) -> Method | None:
    """Return the method by its code, else by the wording of the details."""
    code, details = tender["procurementMethod"], tender["procurementMethodDetails"]
    by_code, by_details = recognise(string(code)), recognise(string(details))
    if string(code) and by_code is None:
        explanation = f'"{string(code)}" is no code of OCDS and no term that is known here.'
        notes.add("method-unknown", Severity.LOW, explanation, code.at)
    if by_code and by_details and by_code.competitive and by_details.code == "direct":
        explanation = (
            f'The method is coded "{string(code)}", its description says "{string(details)}", '
            "which is an award without competition."
        )
        notes.add("method-contradiction", Severity.HIGH, explanation, code.at, details.at)
    if by_code and string(code) not in ("open", "selective", "limited", "direct"):
        explanation = f'"{string(code)}" is no code of OCDS; read as {by_code.code}.'
        notes.add("method-not-a-code", Severity.INFO, explanation, code.at)
    return _method(by_code, code) or _method(by_details, details)


def _method(kind: Kind | None, node: Node) -> Method | None:
    if kind is None:
        return None
    return Method(
        code=kind.code,
        competitive=kind.competitive,
        simplified=kind.simplified,
        published=string(node),
        at=node.at,
    )


def _begins(wording: str, term: str) -> bool:
    """Tell whether `wording` begins with the words of `term`, and not with a longer word."""
    return wording.startswith(term) and not wording[len(term) :][:1].isalpha()
