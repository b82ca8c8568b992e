"""Intake: reads a release as published and names what is missing. Role: retrieval."""

from __future__ import annotations

from agents.procurement.capabilities import NORMALISE
from agents.procurement.documents import load
from agents.procurement.domain.normalise import normalise
from agents.procurement.dossier import Dossier
from agents.procurement.models import NormaliseRequest
from mesh import Agent

agent = Agent(
    "procurement-intake",
    owner="team-procurement-data",
    purpose="Read OCDS releases of any publisher; name what is missing, invent nothing.",
)


@agent.capability(NORMALISE, effect="pure")
def read(request: NormaliseRequest) -> Dossier:
    """Return the dossier of the release. A plain function: it needs nothing from the mesh."""
    return normalise(load(request.release))
