"""Two agents that write the same keys of shared state; copied into the folder of a test."""

from pydantic import BaseModel

from mesh import Agent, Context
from mesh.errors import StateError


class Note(BaseModel):
    key: str
    value: int
    expected: int = 0
    objective: str = ""


class Noted(BaseModel):
    version: int
    said: str


ann = Agent("ann", owner="team-ann", reads=["*"], writes=["*"])
bob = Agent("bob", owner="team-bob", reads=["*"], writes=["*"])


async def noted(ctx: Context, note: Note, who: str) -> Noted:
    """Write, and tell what became of it."""
    try:
        written = await ctx.shared.write(
            note.key,
            note.value,
            expected_version=note.expected,
            objective=note.objective,
            because=f"{who} counted",
        )
    except StateError as refused:
        return Noted(version=refused.version, said=type(refused).__name__)
    return Noted(version=written.version, said=written.verdict)


@ann.capability("ann.note")
async def ann_notes(ctx: Context, note: Note) -> Noted:
    return await noted(ctx, note, "ann")


@bob.capability("bob.note")
async def bob_notes(ctx: Context, note: Note) -> Noted:
    return await noted(ctx, note, "bob")
