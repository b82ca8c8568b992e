"""An agent that shares state, and the chronicle of one of its workflows."""

from __future__ import annotations

from pydantic import BaseModel

from mesh import Agent, Conflict, Context
from mesh.core.ids import audit_partition_of
from mesh.core.ledger import Ledger
from mesh.telling.story import Chronicle
from mesh.testing import MemoryMesh


class Item(BaseModel):
    name: str
    step: int = 1


class Stock(BaseModel):
    left: int


store = Agent("store", owner="team-store", reads=["stock"], writes=["stock"])
changed = Agent("store", owner="team-store", reads=["stock"], writes=["stock"])


@store.capability("store.take")
async def take(ctx: Context, item: Item) -> Stock:
    """Take one, and be told that somebody else was first if it waits long enough for that."""
    key = f"stock/{item.name}"
    found = await ctx.shared.read(key, type=Stock)
    await ctx.sleep("1s")
    left = (found.value.left if found.value else 0) - item.step
    await ctx.shared.write(key, Stock(left=left), expected_version=found.version)
    try:
        await ctx.shared.write(key, Stock(left=0), expected_version=found.version)
    except Conflict as late:
        await ctx.record_decision("go on", because=f"{late.agent} was first")
    async for own in ctx.shared.watch("stock", type=Stock):
        return own.value or Stock(left=0)
    raise AssertionError(key)


@changed.capability("store.take")
async def take_two(ctx: Context, item: Item) -> Stock:
    key = f"stock/{item.name}"
    found = await ctx.shared.read(key, type=Stock)
    await ctx.sleep("1s")
    left = (found.value.left if found.value else 0) - 2
    await ctx.shared.write(key, Stock(left=left), expected_version=found.version)
    return Stock(left=left)


def chronicle(mesh: MemoryMesh, workflow: str) -> Chronicle:
    told = Chronicle(workflow, Ledger())
    for partition, record in mesh._records():
        if partition == audit_partition_of(workflow):
            told.add(record)
    return told


async def taken(*, disturbed: bool = False) -> Chronicle:
    """Let one be taken; `disturbed`: somebody writes meanwhile, so that it is tried again."""
    async with MemoryMesh(store) as mesh:
        await mesh.put("stock/desk", Stock(left=7), agent="clerk")
        begun = await mesh.begin(take, Item(name="desk"))
        if disturbed:
            await mesh.put("stock/desk", Stock(left=5), agent="clerk")
        result = await mesh.finish(begun)
        assert result.value.left == (4 if disturbed else 6)
        await mesh.put("stock/desk", None)
        return chronicle(mesh, result.workflow)


async def interrupted() -> Chronicle:
    """Begin to write while nobody judges."""
    async with MemoryMesh(store) as mesh:
        await mesh.processor.stop()
        begun = await mesh.begin(take, Item(name="desk"))
        await mesh.advance("3s")
        return chronicle(mesh, begun.workflow)
