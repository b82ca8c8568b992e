"""Company names without what varies in writing: accents, punctuation and the legal form.

`COMUNICACIÓN & Consulting, S. A. de C. V.` and `Comunicacion y Consulting SA DE CV` have the same
core and the same form. Numbers belong to the core: 9079-3068 Québec inc. is not 9079-3069 Québec
inc.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agents.procurement.domain.wording import plain, words

# One form may be written in several ways; the first of a line stands for the others.
_FORMS = """
sa de cv | sociedad anonima de capital variable
sapi de cv
s de rl de cv | srl de cv
s de rl | sociedad de responsabilidad limitada
sa | sociedad anonima | societe anonyme | sociedade anonima
sc | sociedad civil | s en c
ac | asociacion civil
srl | societa a responsabilita limitata | societate cu raspundere limitata
sas | sociedad por acciones simplificada | societe par actions simplifiee
sasu
sarl
eurl
eirl
spa | societa per azioni
ltda | limitada | cia ltda | compania limitada
ei
eireli
ltd | limited | ltee | limitee | pvt ltd | private limited | co ltd
pty ltd | pty | proprietary limited
plc | public limited company
llc
llp
inc | incorporated | incorporee
corp | corporation
gmbh | gesellschaft mit beschrankter haftung | ggmbh
gmbh co kg
ag | aktiengesellschaft
kg
ohg
ug
ev
bv
nv
oy
oyj
ab
as
asa
aps
sp z oo | spolka z ograniczona odpowiedzialnoscia
kft
zrt
doo
ood
eood
ad
sia
uab
"""
_LEADING = ("ооо", "оао", "пао", "зао", "ао", "тов", "ип", "фоп", "ат")  # noqa: RUF001  # Cyrillic is meant
_ATTACHED = (
    "股份有限公司 有限責任公司 有限责任公司 有限公司 株式会社 株式會社 有限会社 合同会社 주식회사"
)

FORMS: dict[str, str] = {
    way.replace(" ", ""): line.split("|")[0].strip()
    for line in _FORMS.strip().splitlines()
    for way in line.split("|")
}
"""Each way to write a legal form, without spaces, with the form it stands for."""
ATTACHED_FORMS = tuple(_ATTACHED.split())
"""Forms that are written without a space before or after the name; the longest first."""
LEADING_FORMS = frozenset(_LEADING)
"""Forms that stand before the name, as a word of their own."""
LONGEST_FORM = 8
"""Words that a form may take: `s de r l de c v` has seven."""

MAX_NAME = 300
"""Characters of a name that are compared; comparing takes the product of two lengths."""

_AND = frozenset({"&", "and", "y", "et", "e", "und", "si", "i"})
_LONE = re.compile(r"(?<![^\W_])((?:[^\W\d_] ){1,6}[^\W\d_])(?![^\W_])")


class CompanyName(NamedTuple):
    """A name taken apart. `form` is "" where none is written, `core` is never empty."""

    core: str
    form: str


def parse_name(name: str) -> CompanyName:
    """Return `name` without its legal form, and the form in its common spelling."""
    name = name[:MAX_NAME]
    for form in ATTACHED_FORMS:
        bare = plain(name).removesuffix(form).removeprefix(form).strip()
        if bare and bare != plain(name):
            return CompanyName(core=bare.replace(" ", ""), form=form)
    parts = words(name)
    for length in range(min(LONGEST_FORM, len(parts) - 1), 0, -1):
        form = FORMS.get("".join(parts[-length:]), "")
        if form:
            return CompanyName(core=_core(_without_prefix(parts[:-length], form)), form=form)
    if len(parts) > 1 and parts[0] in LEADING_FORMS:
        return CompanyName(core=_core(parts[1:]), form=parts[0])
    return CompanyName(core=_core(parts) or plain(name), form="")


def numerals(core: str) -> frozenset[str]:
    """Return the numbers in a name: names that differ in one are different companies."""
    return frozenset(re.findall(r"\d+", core))


def _without_prefix(parts: list[str], form: str) -> list[str]:
    """Drop `S.C.` before a Romanian company's name, where the form also stands at its end."""
    for prefix in (["s", "c"], ["sc"]):
        if form == "srl" and parts[: len(prefix)] == prefix and len(parts) > len(prefix):
            return parts[len(prefix) :]
    return parts


def _core(parts: list[str]) -> str:
    """Write letters in a row as one word, so that `A. B. C.` is `ABC`; drop the word for and."""
    joined = _LONE.sub(lambda run: run[1].replace(" ", ""), " ".join(parts))
    kept = [part for part in joined.split() if part not in _AND]
    return " ".join(kept) or joined
