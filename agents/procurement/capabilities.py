"""What each agent offers, by name. The agents know each other by these names alone."""

from __future__ import annotations

REVIEW = "procurement.review"
NORMALISE = "procurement.normalise"
INVESTIGATE = "procurement.investigate"
ASSESS = "procurement.assess"
RESOLVE = "supplier.resolve"
RETRIEVE = "price.retrieve"
SCREEN = "risk.screen"
VERIFY = "contract.verify"
AUDIT = "finance.audit"
SOURCE = "procurement.source"

RED_FLAGS = "procurement-red-flags"
PRICES = "procurement-prices"
"""The two agents that compete for `risk.screen`."""
