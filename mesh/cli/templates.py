"""The files that `mesh new` writes: an agent that runs, with a test that passes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping

from mesh.core.registry import Card
from mesh.errors import DefinitionError, UsageError

MODELS = '''"""What {name} takes and gives."""

from pydantic import BaseModel


class Name(BaseModel):
    """Whom to greet."""

    name: str


class Greeting(BaseModel):
    """A greeting in words."""

    words: str
'''

AGENT = '''"""The agent {name}: try it with `mesh dev {module}:agent`."""

from mesh import Agent, Bid, Context
from {module}_models import Greeting, Name

agent = Agent("{name}", owner="{owner}", purpose="Greets whoever is named.")


@agent.capability("{capability}")
async def greet(ctx: Context, given: Name) -> Greeting:
    """Return a greeting; what it costs is reserved before it is spent."""
    await ctx.spend(usd="0.01", because="choose the words")
    return Greeting(words=f"Hello, {{given.name}}!")


@greet.bid
def bid(given: Name) -> Bid | None:
    """Offer a price, a time and a confidence; None passes."""
    return Bid(price_usd="0.01", eta_s=1, confidence=0.9) if given.name else None
'''

TEST = '''"""Runs without a broker, in milliseconds: `pytest`."""

import asyncio

from mesh.testing import MemoryMesh, crash_at_every_step
from {module} import agent, greet
from {module}_models import Greeting, Name


def test_greets() -> None:
    async def submit() -> None:
        async with MemoryMesh(agent) as mesh:
            result = await mesh.submit(greet, Name(name="Ada"))
            assert result.value == Greeting(words="Hello, Ada!")
            assert "WorkFinished" in mesh.kinds(result.workflow)

    asyncio.run(submit())


def test_survives_its_worker() -> None:
    """Its worker is killed before, in and after each step in turn; one result, nothing twice."""
    assert asyncio.run(crash_at_every_step(agent, greet, Name(name="Ada"))) > 3
'''

COMPOSE = """# {name} beside a Kafka on this machine: docker compose up
services:
  {name}:
    build: .
    command: mesh run {module}:agent --create-topics --health 0.0.0.0:8470
    environment:
      MESH_BOOTSTRAP: ${{MESH_BOOTSTRAP:-host.docker.internal:9092}}
      MESH_NAME: ${{MESH_NAME:-demo}}
    extra_hosts: ["host.docker.internal:host-gateway"]
    stop_grace_period: 30s # `mesh run` drains for at most 25
    healthcheck:
      test: ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8470/readyz')"]
      interval: 5s
"""

DOCKERFILE = """FROM python:3.13-slim
WORKDIR /app
RUN pip install --no-cache-dir parley-mesh
COPY *.py ./
USER nobody
CMD ["mesh", "run", "{module}:agent"]
"""

_SHAPE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def files(name: str, owner: str) -> Mapping[str, str]:
    """Return the files of a new agent, by name.

    Raises:
        UsageError: The name cannot be an agent's, or a module's.
    """
    module = name.replace("-", "_")
    if not _SHAPE.fullmatch(name) or keyword.iskeyword(module) or module in ("mesh", "test"):
        raise UsageError(
            f"{name!r} cannot be an agent's name: lower case, digits and hyphens, like order-desk"
        )
    try:
        Card(agent=name, owner=owner, version="0.1.0", purpose="")
    except DefinitionError as error:
        raise UsageError(str(error)) from error
    given = {
        "name": name,
        "module": module,
        "owner": owner.replace('"', ""),
        "capability": f"{name}.greet",
    }
    return {
        f"{module}.py": AGENT.format_map(given),
        f"{module}_models.py": MODELS.format_map(given),
        f"test_{module}.py": TEST.format_map(given),
        "compose.yaml": COMPOSE.format_map(given),
        "Dockerfile": DOCKERFILE.format_map(given),
    }
