"""The example's agents, and the releases that it is shown with.

`releases(path)` reads OCDS from a JSON Lines file, a JSON file or a folder of them (None: the
samples shipped here). It yields one `Line` for each release, with the input for
`procurement.review`; a line that cannot be read is yielded too, with what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents.procurement.capabilities import REVIEW, SOURCE
from agents.procurement.documents import Decoded, DocumentError, as_input, load
from agents.procurement.domain.comparables import price_points
from agents.procurement.domain.normalise import normalise
from agents.procurement.models import MAX_REFERENCE, Need, PricePoint
from agents.procurement.shared import EXPOSURE, IDENTITIES

AGENTS = (
    "agents.procurement.lead:agent",
    "agents.procurement.diligence:agent",
    "agents.procurement.intake:agent",
    "agents.procurement.library:agent",
    "agents.procurement.suppliers:agent",
    "agents.procurement.red_flags:agent",
    "agents.procurement.prices:agent",
    "agents.procurement.contract:agent",
    "agents.procurement.finance:agent",
    "agents.procurement.assessor:agent",
)
"""Every agent of the example, as `mesh run` takes them; each may run in a process of its own."""
OVEREAGER_AGENTS = ("agents.procurement.sourcing:agent",)
"""Who is added for `--overeager`: it asks for quotes until one meets the target, with no bound."""
CAPABILITY = REVIEW
"""What a release is submitted to."""
POLICY = Path(__file__).parent / "policy.toml"
"""What becomes of writes to shared state that did not know of each other."""
SAMPLES = Path(__file__).parent / "samples"
SUFFIXES = (".jsonl", ".ndjson", ".json")
MAX_BYTES = 4 * 1024 * 1024
"""One release; the largest real ones have some 100 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One release of a file: `input` for `capability`, or the `defect` that prevents it."""

    source: str
    input: dict[str, object] | None
    defect: str = ""
    capability: str = CAPABILITY


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    source: str
    release: str | dict[str, Decoded] | None
    points: tuple[PricePoint, ...] = ()
    defect: str = ""


def releases(path: Path | None = None) -> Iterator[Line]:
    """Yield the releases of a file or folder in the order of names and lines.

    Each comes with the prices of the other releases that may be compared with its own. All files
    are read before the first is yielded.

    Raises:
        FileNotFoundError: `path` does not exist, or holds no file of a known suffix.
    """
    read = [entry for file in _files(path or SAMPLES) for entry in _read(file)]
    reference = _index(point for entry in read for point in entry.points)
    for entry in read:
        if entry.release is None:
            yield Line(source=entry.source, input=None, defect=entry.defect)
            continue
        comparable = {
            (other.ocid, other.at, other.amount): other
            for own in entry.points
            for other in reference.get(_market(own), ())
            if other.ocid != own.ocid
        }
        points = [point.model_dump(mode="json") for point in comparable.values()]
        yield Line(
            source=entry.source,
            input={
                "release": entry.release,
                "reference": points[:MAX_REFERENCE],
                "source": entry.source,
            },
        )


def overeager() -> Iterator[Line]:
    """Yield a need whose target nobody meets: its sourcing would never end."""
    need = Need(item="office chair", quantity=40, target_price=Decimal(80), currency="EUR")
    given = need.model_dump(mode="json")
    yield Line(source="overeager sourcing", input=given, capability=SOURCE)


def shown(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the largest exposure of each currency in shared state, in lines for a person."""
    names = {
        key.split("/")[1]: value["name"]
        for key, value in values.items()
        if key.startswith(f"{IDENTITIES}/")
    }
    largest: dict[str, tuple[Decimal, str, int]] = {}
    for key, awards in values.items():
        kind, _, rest = key.partition("/")
        if kind == EXPOSURE:
            supplier, _, currency = rest.rpartition("/")
            owed = Decimal(sum(awards.values())) / 100
            entry = owed, names.get(supplier, supplier), len(awards)
            largest[currency] = max(entry, largest.get(currency, entry))
    for currency, (owed, name, awards) in sorted(largest.items()):
        of = "1 award" if awards == 1 else f"{awards} awards"
        yield f"  largest exposure in {currency}: {owed:,.2f} by {of} to {name}"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (
        sorted(file for file in path.glob("*") if file.suffix in SUFFIXES) if path.is_dir() else []
    )
    if not found:
        names = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        what = f"holds no file named {names}" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}")
    return found


def _read(file: Path) -> Iterator[_Read]:
    content = file.read_bytes()
    whole = file.suffix == ".json"
    for number, raw in enumerate([content] if whole else content.split(b"\n"), 1):
        source = file.name if whole else f"{file.name}:{number}"
        if not raw.strip():
            continue
        if len(raw) > MAX_BYTES and not whole:
            yield _Read(source=source, release=None, defect=f"longer than {MAX_BYTES} bytes")
            continue
        try:
            document = as_input(raw.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            yield _Read(source=source, release=None, defect=f"not UTF-8: {error.reason}")
        except DocumentError as error:
            yield _Read(source=source, release=None, defect=str(error))
        else:
            yield from _each(source, document)


def _each(source: str, document: str | dict[str, Decoded]) -> Iterator[_Read]:
    members = document.get("releases") if isinstance(document, dict) else None
    if isinstance(members, list) and len(members) > 1 and "ocid" not in document:
        for number, member in enumerate(members):
            yield _one(f"{source}#/releases/{number}", member)
    else:
        yield _one(source, document)


def _one(source: str, document: Decoded) -> _Read:
    if not isinstance(document, str | dict):
        return _Read(source=source, release=None, defect="not a JSON object")
    try:
        points = price_points(normalise(load(document)))
    except DocumentError as error:
        return _Read(source=source, release=None, defect=str(error))
    return _Read(source=source, release=document, points=points)


def _index(points: Iterable[PricePoint]) -> dict[tuple[str, ...], list[PricePoint]]:
    index: dict[tuple[str, ...], list[PricePoint]] = {}
    for point in points:
        index.setdefault(_market(point), []).append(point)
    return index


def _market(point: PricePoint) -> tuple[str, ...]:
    return point.kind, point.basis.value, point.currency, point.scheme
