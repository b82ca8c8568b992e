"""Writes the sample files beside this module."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from agents.procurement.samples.americas import ciudad_norte, rive_sud, valle
from agents.procurement.samples.asia_africa import formosa, nilotia
from agents.procurement.samples.europe import albion, bessara, dnipro, hansestadt

HERE = Path(__file__).parent
PUBLISHERS = {
    "albion": albion,
    "bessara": bessara,
    "ciudad-norte": ciudad_norte,
    "dnipro": dnipro,
    "formosa": formosa,
    "hansestadt": hansestadt,
    "nilotia": nilotia,
    "rive-sud": rive_sud,
    "valle": valle,
}


def files() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each sample file."""
    for name, publisher in PUBLISHERS.items():
        lines = [_dumped(release) for release in publisher()]
        yield f"{name}.jsonl", "\n".join(lines) + "\n"
    yield "wrapped.jsonl", "\n".join(_wrapped()) + "\n"
    yield "broken.jsonl", "\n".join(_broken()) + "\n"


def _wrapped() -> Iterator[str]:
    first, second, *_ = ({**r, "ocid": f"{r['ocid']}-w"} for r in hansestadt())
    yield _dumped({"uri": "https://example.org/package", "releases": [first]})
    yield _dumped({"records": [{"ocid": second["ocid"], "compiledRelease": second}]})
    yield _dumped({"releases": [first, second]})
    # More digits than a float carries: 24 before and after the point together.
    yield _dumped({**second, "ocid": f"{second['ocid']}-digits"}).replace(
        f'"amount": {second["tender"]["value"]["amount"]}', '"amount": 200000.123456789012345678', 1
    )


def _broken() -> Iterator[str]:
    whole = _dumped(next(albion()))
    yield whole[: len(whole) // 2]
    yield '["not", "an", "object"]'
    yield whole.replace('"minValue": {"amount": 47000', '"minValue": {"amount": NaN', 1)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    for name, text in files():
        (HERE / name).write_text(text, encoding="utf-8")
