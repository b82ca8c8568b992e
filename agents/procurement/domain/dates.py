"""Comparing dates that were published with and without a time zone."""

from __future__ import annotations

from agents.procurement.dossier import Moment


def days_between(first: Moment, second: Moment) -> int:
    """Return the calendar days from `first` to `second`; negative where `second` is earlier."""
    return (second.day - first.day).days


def surely_before(first: Moment, second: Moment) -> bool:
    """Tell whether `first` lies on an earlier day, whatever the zones were.

    Times of the day are left out of account: publishers fill them in (noon, midnight). Where only
    one of the two has a zone, one day's difference may be the zone's.
    """
    same_kind = (first.instant is None) == (second.instant is None)
    return days_between(first, second) >= (1 if same_kind else 2)
