"""What the sample releases are put together from."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

Release = dict[str, Any]

PLANTED: dict[str, tuple[str, set[str]]] = {}
"""What a review must find, by ocid: the decision, and codes of findings among others."""


def plant(release: Release, decision: str, *codes: str) -> Release:
    """Note what a review must find in `release`, and return it."""
    PLANTED[release["ocid"]] = (decision, set(codes))
    return release


def day(number: int, year: int = 2017) -> str:
    """Return the date of a day of the year, counted from 0."""
    return (date(year, 1, 1) + timedelta(days=number)).isoformat()


def stamp(number: int, year: int = 2017, rest: str = "T00:00:00Z") -> str:
    """Return a moment on a day of the year."""
    return day(number, year) + rest


def span(first: int, last: int, year: int = 2017, rest: str = "T00:00:00Z") -> Release:
    """Return a period."""
    return {"startDate": stamp(first, year, rest), "endDate": stamp(last, year, rest)}


def varied(base: float, index: int) -> float:
    """Return an amount around `base`, up to 12 % off, with at most two digits after the point."""
    return round(base * (1 + ((index * 37) % 25 - 12) / 100) + (index % 7) / 4, 2)


def money(amount: object, currency: object) -> Release:
    """Return an amount as published, usable or not."""
    return {"amount": amount, "currency": currency}


def item(scheme: str, code: object, label: str, **more: object) -> Release:
    """Return an item with its class."""
    of = {"scheme": scheme, "id": code, "description": label}
    return {"id": "1", "description": label, "classification": of, **more}


def documents(count: int, kind: str = "tenderNotice") -> list[Release]:
    """Return published documents."""
    return [
        {"id": str(n + 1), "documentType": kind, "url": f"https://example.org/{kind}/{n + 1}.pdf"}
        for n in range(count)
    ]


def award(key: object, value: Release, *suppliers: Release, **more: object) -> Release:
    """Return an active award."""
    return {"id": key, "status": "active", "value": value, "suppliers": [*suppliers], **more}


def contract(key: object, of: object, value: Release, period: Release, **more: object) -> Release:
    """Return an active contract, signed when it begins."""
    return {
        "id": key,
        "awardID": of,
        "status": "active",
        "dateSigned": period["startDate"],
        "period": period,
        "value": value,
        "documents": documents(1, "contractSigned"),
        **more,
    }


def frame(ocid: str, published: str, language: str, tag: object, **sections: object) -> Release:
    """Return a release."""
    return {
        "ocid": ocid,
        "id": f"{ocid}-{published[:10]}",
        "date": published,
        "language": language,
        "tag": tag,
        "initiationType": "tender",
        **sections,
    }
