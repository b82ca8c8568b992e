"""The models of the hello agent."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel


class Need(BaseModel):
    item: str
    qty: int


class Quote(BaseModel):
    supplier: str
    total: Decimal


class Verdict(BaseModel):
    good: bool
