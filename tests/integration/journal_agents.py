"""Agents whose steps leave marks in a folder, so that a test can count what was really done."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from mesh import Agent, Context, Priced, tool

LEASE = "1500ms"


class Job(BaseModel):
    folder: str


class Report(BaseModel):
    paid: list[int]
    child: str
    attempt: int


class Note(BaseModel):
    text: str


async def gate(job: Job, name: str) -> None:
    """Wait, outside of the journal, until the test opens a gate."""
    until_there = (Path(job.folder) / name).exists
    while not await asyncio.to_thread(until_there):  # noqa: ASYNC110 - another process opens it
        await asyncio.sleep(0.02)


def mark(folder: str, name: str, text: str) -> None:
    with (Path(folder) / name).open("a") as file:
        file.write(f"{text}\n")


@tool(effect="keyed", reserve={"usd": "0.03"})
def pay(folder: str, number: int, idempotency_key: str = "") -> Priced[int]:
    mark(folder, f"paid-{number}", idempotency_key)
    return Priced(number, usd="0.01")


planner = Agent("planner", owner="team", calls=["work.*"], tools=[pay])
worker = Agent("worker", owner="team")
top = Agent("top", owner="team", calls=["plan.*"])


@planner.capability("plan.five", lease=LEASE)
async def five(ctx: Context, job: Job) -> Report:
    child = asyncio.create_task(ctx.delegate("work.slow", job, Note))
    paid = [await ctx.tool(pay, job.folder, number) for number in range(3)]
    await gate(job, "go")
    paid += [await ctx.tool(pay, job.folder, number) for number in range(3, 5)]
    return Report(paid=paid, child=(await child).text, attempt=ctx.attempt.number)


@worker.capability("work.slow", lease=LEASE)
async def slow(ctx: Context, job: Job) -> Note:
    await asyncio.to_thread(mark, job.folder, "child", ctx.task)
    await gate(job, "go-child")
    return Note(text="done")


@top.capability("top.go", lease=LEASE)
async def go(ctx: Context, job: Job) -> Report:
    return await ctx.delegate("plan.five", job, Report)
