"""Budgets: a ceiling that cannot be passed.

The holder of a task is the single writer of its purse, and at every log prefix::

    free + reserved + granted + spent == total

`reserve` before the call, `settle` after it; a reservation that was never settled is charged in
full (`charge`), because nobody can know whether the money went. A delegation moves a part of
`free` to `granted` and costs one hop; when the child ends, what it did not spend comes back.
"""

from __future__ import annotations

from mesh.core.values import Amount

ZERO = Amount()
HOP = Amount(hops=1)
"""What a delegation costs: `hops` counts the delegated tasks of a workflow, so it bounds them."""
ATTEMPT = Amount(attempts=1)
"""What each award costs that follows a failure, a rejection or a death."""
SMALLEST_GRANT = Amount(1, 1, 1, 1, 1)
"""The least that a child is given: with less it could do nothing, and chains would not end."""
_new = tuple.__new__
"""Makes an `Amount` at half the price of its own constructor: there are twenty sums to a task."""


def add(a: Amount, b: Amount) -> Amount:
    """Return the sum."""
    return _new(Amount, (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]))


def subtract(a: Amount, b: Amount) -> Amount:
    """Return the difference; may be negative, see `fits`."""
    return _new(Amount, (a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], a[4] - b[4]))


def fits(a: Amount, limit: Amount) -> bool:
    """Tell whether `a` is neither negative nor above `limit` in any dimension."""
    return (
        0 <= a[0] <= limit[0]
        and 0 <= a[1] <= limit[1]
        and 0 <= a[2] <= limit[2]
        and 0 <= a[3] <= limit[3]
        and 0 <= a[4] <= limit[4]
    )


def lacking(asked: Amount, free: Amount) -> str:
    """Return the first dimension in which `asked` does not fit into `free`, "" if it fits."""
    if fits(asked, free):
        return ""
    parts = zip(Amount._fields, asked, free, strict=True)
    return next(name for name, want, have in parts if not 0 <= want <= have)


def half(free: Amount) -> Amount:
    """Return the grant of a delegation that names none: half of what is free after the hop.

    The rest stays for siblings and for the parent itself; what is unused comes back.
    """
    usd, tokens, calls, hops, attempts = subtract(free, HOP)
    halves = (usd // 2, tokens // 2, calls // 2, hops // 2, attempts // 2)
    return Amount(*map(max, SMALLEST_GRANT, halves))


class Purse:
    """Mutable: what one task was given, and where it is."""

    __slots__ = ("free", "granted", "reserved", "spent", "total")

    def __init__(self, total: Amount) -> None:
        self.total = total
        self.free = total
        self.reserved = ZERO
        self.granted = ZERO
        self.spent = ZERO

    def __repr__(self) -> str:
        return (
            f"Purse(total={tuple(self.total)}, free={tuple(self.free)}, "
            f"reserved={tuple(self.reserved)}, granted={tuple(self.granted)}, "
            f"spent={tuple(self.spent)})"
        )

    def reserve(self, amount: Amount) -> None:
        """Set `amount` aside; the caller has checked that it fits into `free`."""
        self.free = subtract(self.free, amount)
        self.reserved = add(self.reserved, amount)

    def settle(self, reserved: Amount, amount: Amount) -> None:
        """Turn a reservation into its real cost, at most itself; the rest is free again."""
        self.reserved = subtract(self.reserved, reserved)
        self.spent = add(self.spent, amount)
        self.free = add(self.free, subtract(reserved, amount))

    def charge(self) -> None:
        """Charge all open reservations in full."""
        if self.reserved == ZERO:
            return
        self.spent = add(self.spent, self.reserved)
        self.reserved = ZERO

    def fee(self, amount: Amount) -> None:
        """Spend `amount` of what is free at once."""
        self.free = subtract(self.free, amount)
        self.spent = add(self.spent, amount)

    def grant(self, amount: Amount) -> None:
        """Hand `amount` and a hop to a child."""
        self.fee(HOP)
        self.free = subtract(self.free, amount)
        self.granted = add(self.granted, amount)

    def take_back(self, granted: Amount, spent: Amount) -> None:
        """Account for a child that ended: what it spent is spent, the rest is free again."""
        self.granted = subtract(self.granted, granted)
        self.spent = add(self.spent, spent)
        self.free = add(self.free, subtract(granted, spent))

    def close(self, spent: Amount) -> None:
        """End with `spent` in all; nothing is free, reserved or granted any more."""
        self.spent = spent
        self.free = subtract(self.total, spent)
        self.reserved = ZERO
        self.granted = ZERO

    def balanced(self) -> bool:
        """Tell whether the conservation law holds and nothing is negative."""
        parts = add(add(self.free, self.reserved), add(self.granted, self.spent))
        return parts == self.total and all(
            min(part) >= 0 for part in (self.free, self.reserved, self.granted, self.spent)
        )
