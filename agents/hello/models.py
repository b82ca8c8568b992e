"""What the hello agent is asked, and what it answers."""

from decimal import Decimal

from pydantic import BaseModel


class Need(BaseModel):
    """So many of an item."""

    item: str
    qty: int


class Quote(BaseModel):
    """What a supplier asks for them."""

    supplier: str
    total: Decimal
