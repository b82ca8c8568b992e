"""The same with kcat: a task from a shell, a reply in a shell."""

from __future__ import annotations

import json
import shutil

import pytest

from mesh.core import facts as f
from mesh.errors import WireError
from mesh.ports import UNREADABLE, Incoming
from mesh.wire import topics
from mesh.wire.requests import decode_request
from tests.integration.world import World
from tests.outside.clients import run
from tests.outside.test_plain_client import shop

KCAT = shutil.which("kcat") or ""
needs_kcat = pytest.mark.skipif(not KCAT, reason="no kcat (Debian: apt-get install kcat)")


@needs_kcat
async def test_a_bare_record_is_enough(world: World) -> None:
    """`kcat -P -t demo.tasks.shop.order`: no header, so no reply; the audit stream tells."""
    await world.run(shop())
    topic = topics.tasks(world.mesh, "shop.order")
    await run([KCAT, "-P", "-b", world.site.bootstrap, "-t", topic], b'{"n": 4}\n')
    ends = await world.story.until(
        lambda: [t.fact for t in world.story.told if isinstance(t.fact, f.WorkFinished)]
    )
    assert json.loads(ends[0].result.content or b"") == {"n": 4, "total": 0}


@needs_kcat
async def test_headers_in_and_replies_out(world: World) -> None:
    await world.run(shop())
    topic, replies = topics.tasks(world.mesh, "shop.order"), topics.replies(world.mesh, "tests")
    headers = [
        *("-H", f"reply-topic={replies}", "-H", "correlation-id=from-a-shell"),
        *("-H", 'budget={"usd": "0.10"}', "-H", "timeout-ms=30000"),
    ]
    given = b'{"n": 1}\n{"n": "one"}\nnonsense\n'
    await run([KCAT, "-P", "-b", world.site.bootstrap, "-t", topic, *headers], given)
    await world.replies.until(lambda: len(world.replies.records) == 2)
    await world.dead_letters.until(lambda: len(world.dead_letters.letters) == 2)
    read = ["-C", "-b", world.site.bootstrap, "-t", replies, "-o", "beginning", "-e", "-q"]
    lines = (await run([KCAT, *read, "-f", "%k %s\n"])).decode().splitlines()
    answers = [line.split(" ", 1) for line in lines]
    assert [key for key, _ in answers] == 2 * ["from-a-shell"]
    said = sorted((json.loads(value) for _, value in answers), key=lambda one: str(one["status"]))
    assert [answer["status"] for answer in said] == ["completed", "rejected"]
    assert said[0]["result"] == {"n": 1, "total": 0}
    assert said[1]["error"].startswith("/n: Input should be a valid integer")
    assert [letter.value for letter in world.dead_letters.letters] == [b'{"n": "one"}', b"nonsense"]


@needs_kcat
async def test_a_header_whose_name_is_no_text_is_a_dead_letter(world: World) -> None:
    """Not once only: a call that was made often takes another way through the interpreter."""
    await world.run(shop())
    topic = topics.tasks(world.mesh, "shop.order")
    command = [KCAT, "-P", "-b", world.site.bootstrap, "-t", topic]
    for _ in range(2):
        await run([*command, "-H", "null", "-H", "empty="], 20 * b'{"n": 2}\n')
        await run([*command, "-H", "\udcff\udcfe=1"], 20 * b'{"n": 1}\n')
    letters = world.dead_letters.letters
    await world.dead_letters.until(lambda: len(letters) == 40)
    assert {letter.reason for letter in letters} == {"the name of a header is no UTF-8"}
    assert {letter.value for letter in letters} == {b'{"n": 1}'}
    told = world.story.told
    await world.story.until(lambda: sum(isinstance(t.fact, f.WorkFinished) for t in told) == 40)


def test_unreadable_headers_are_refused_by_the_decoder() -> None:
    record = Incoming("m.tasks.shop.order", 0, 0, 1, None, b'{"n": 1}', ((UNREADABLE, b""),))
    with pytest.raises(WireError, match="the name of a header is no UTF-8"):
        decode_request(record)
