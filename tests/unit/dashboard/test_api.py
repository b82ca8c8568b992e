from __future__ import annotations

from urllib.parse import quote

import pytest

from mesh.dashboard.routes import openapi
from mesh.ports import Place
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.state import state_partition
from tests.unit.cli.conftest import MESH, Recorded
from tests.unit.dashboard.conftest import serving
from tests.unit.dashboard.test_aside import entry

ELSEWHERE = ("/events", "/state/entry")


async def test_every_overview_answers_in_its_shape(broker: MemoryBroker) -> None:
    async with serving(broker) as asker:
        for path, methods in openapi()["paths"].items():
            if "get" in methods and "{" not in path and path not in ELSEWHERE:
                shape = await asker.get(path)
                assert shape, path


async def test_every_workflow_is_told_with_its_reasons(
    recorded: Recorded, broker: MemoryBroker
) -> None:
    async with serving(broker) as asker:
        for name, workflow in recorded.workflows.items():
            chain = await asker.get(f"/workflows/{workflow}")
            assert chain["whole"]
            assert (
                chain["story"]["status"]
                == (await asker.get("/tasks", workflow=workflow))["items"][0]["status"]
            ), name
            assert len(chain["lines"]) == sum(
                fact["void"] == ""
                for fact in (await asker.get("/audit", workflow=workflow))["items"]
            )
            for task in (await asker.get("/tasks", workflow=workflow))["items"]:
                told = await asker.get(f"/workflows/{workflow}/tasks/{task['task']}/why")
                assert told["agrees"]


async def test_workflows_are_filtered_and_paged(recorded: Recorded, broker: MemoryBroker) -> None:
    async with serving(broker) as asker:
        whole = await asker.get("/workflows")
        assert whole["total"] == 5
        pages = [await asker.get("/workflows", offset=n, limit=2) for n in (0, 2, 4, 6)]
        assert [own for page in pages for own in page["items"]] == whole["items"]

        async def count(**asked: str) -> int:
            total: int = (await asker.get("/workflows", **asked))["total"]
            return total

        assert await count(status="completed") == 2
        assert await count(status="ended") == 4
        assert await count(status="running") == 1
        assert await count(failing="true") == 3
        assert await count(capability="office.*") == 5
        assert await count(capability="office.quote") == 0
        assert await count(agent="ann") > 0
        assert await count(agent="nobody") == 0
        assert await count(needs="true") == 0
        assert await count(text=recorded.workflows["gold"]) == 1
        tasks = await asker.get("/tasks", capability="office.quote", limit=1000)
        assert tasks["total"] > 4
        assert all(own["parent"] for own in tasks["items"])


async def test_the_audit_is_filtered_and_paged(recorded: Recorded, broker: MemoryBroker) -> None:
    async with serving(broker) as asker:
        whole = (await asker.get("/audit", limit=1000))["items"]
        assert len(whole) == len(broker.records(topics.audit(MESH)))
        found, before = [], ""
        while True:
            page = await asker.get("/audit", limit=20, before=before)
            found += page["items"]
            before = page["next"]
            if not before:
                break
        assert found == whole
        opened = await asker.get("/audit", kind="TaskOpened", workflow=recorded.workflows["gold"])
        assert {own["kind"] for own in opened["items"]} == {"TaskOpened"}
        assert (await asker.get("/audit", text="COMPARE THE PRICES"))["items"]
        assert (await asker.get("/audit", counts="unreadable"))["items"] == []
        first = whole[-1]["where"].partition("/")
        record = await asker.get(f"/audit/{first[0]}/{first[2]}")
        assert record["where"] == whole[-1]["where"]
        stretch = await asker.get("/audit/0", limit=3)
        assert len(stretch["items"]) == 3


@pytest.mark.parametrize(
    "path",
    [
        "/workflows/0-none",
        "/workflows/none",
        "/workflows/0-x/tasks/0-y/why",
        "/agents/nobody",
        "/state/entry?key=none",
        "/audit/99",
        "/audit/0/99999999",
    ],
)
async def test_what_is_not_there_is_told(broker: MemoryBroker, path: str) -> None:
    async with serving(broker) as asker:
        path, _, query = path.partition("?")
        asked = dict([query.split("=")]) if query else {}
        assert (await asker.get(path, 404, **asked))["status"] == 404


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/workflows", {"limit": "0"}),
        ("/workflows", {"status": "happy"}),
        ("/workflows", {"more": "1"}),
        ("/now", {"more": "1"}),
        ("/map", {"minutes": "61"}),
        ("/audit/x", {}),
        ("/audit/0/-1", {}),
        ("/state/entry", {}),
        ("/state", {"prefix": "x" * 301}),
        ("/me", {"who": "me"}),
        ("/events", {"other": "1"}),
    ],
)
async def test_what_makes_no_sense_is_refused(
    broker: MemoryBroker, path: str, asked: dict[str, str]
) -> None:
    async with serving(broker) as asker:
        assert (await asker.get(path, 400, **asked))["detail"]


async def test_shared_state_is_listed_and_read(broker: MemoryBroker) -> None:
    topic = topics.state(MESH)
    for key in ("stock/desk", "stock/\u202e<b>", "price/desk"):
        number = state_partition(key, len(broker.partitions(topic)))
        broker.partition(Place(topic, number)).append(5, key.encode(), entry(key, 1), ())
    async with serving(broker) as asker:
        api = asker.dashboard.api
        assert api is not None
        while len(api.model.state.keys) < 3:
            await asker.get("/me")
        keys = await asker.get("/state", prefix="stock/")
        assert [own["key"] for own in keys["items"]] == ["stock/desk", "stock/\u202e<b>"]
        found = await asker.get("/state/entry", key="stock/\u202e<b>")
        assert found["value"] == 1
        assert (await asker.get("/state", contested="true"))["total"] == 0


async def test_an_agent_is_found_by_name_owner_and_capability(broker: MemoryBroker) -> None:
    async with serving(broker) as asker:
        while (await asker.get("/agents"))["total"] < 3:
            pass
        desk = await asker.get("/agents/desk")
        assert desk["card"]["owner"] == "team-office"
        assert (await asker.get("/agents", owner="team-office"))["total"] == 1
        assert (await asker.get("/agents", capability="office.quote"))["total"] == 2
        assert (await asker.get("/agents", text="SELLS, TOO"))["total"] == 1
        assert (await asker.get(f"/agents/{quote('no one')}", 404))["status"] == 404
