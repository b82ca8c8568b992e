"""Library: finds the prices that may be compared with those of a release. Role: retrieval."""

from __future__ import annotations

from agents.procurement.capabilities import RETRIEVE
from agents.procurement.domain.comparables import compare
from agents.procurement.models import Comparables, RetrieveRequest
from mesh import Agent

agent = Agent(
    "procurement-library",
    owner="team-procurement-data",
    purpose="Find prices of the same class, currency, kind and unit in other processes.",
)


@agent.capability(RETRIEVE, effect="pure")
def retrieve(request: RetrieveRequest) -> Comparables:
    """Return the comparable prices, and say where there are too few."""
    return compare(request.dossier, request.reference, request.min_comparables)
