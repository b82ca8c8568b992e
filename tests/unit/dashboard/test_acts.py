from __future__ import annotations

from typing import Any

import pytest

from mesh.dashboard import acts as modules
from mesh.dashboard.acts import reason
from mesh.dashboard.routes import BASE, BadParameter
from mesh.dashboard.server import Plan
from mesh.dashboard.web import ACT_HEADER
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.entries import decode_halt, decode_incident
from tests.unit.cli.conftest import MESH, Recorded
from tests.unit.dashboard.conftest import Asker, check_shape, serving, until

EVE = Plan(mesh=MESH, person="eve")


async def act(asker: Asker, path: str, body: Any, status: int = 200) -> Any:
    async with asker.session.post(
        asker.url(f"{BASE}{path}"), json=body, headers={ACT_HEADER: "1"}
    ) as answer:
        shape = await answer.json()
        assert answer.status == status, shape
        if status >= 400:
            check_shape("Problem", shape)
        return shape


async def known(asker: Asker) -> None:
    api = asker.dashboard.api
    assert api is not None
    await until(lambda: len(api.model.directory.agents) == 3)


async def test_a_halt_and_its_lifting_are_events_with_the_persons_name(
    broker: MemoryBroker,
) -> None:
    async with serving(broker, EVE) as asker:
        await known(asker)
        halt = await act(asker, "/halts", {"target": "agent/ann", "because": " wrong prices "})
        check_shape("Halt", halt)
        assert (halt["person"], halt["because"], halt["halted"]) == ("eve", "wrong prices", True)
        again = await act(asker, "/halts", {"target": "agent/ann", "because": "again"})
        assert again == halt
        api = asker.dashboard.api
        assert api is not None
        await until(api.model.orders.in_force)
        assert [own["target"] for own in (await asker.get("/halts"))["items"]] == ["agent/ann"]
        kinds = {own["kind"] for own in (await asker.get("/now"))["needs"]["items"]}
        assert "halt" in kinds
        lift = await act(asker, "/lifts", {"target": "agent/ann", "because": "mended"})
        assert not lift["halted"]
        await act(asker, "/lifts", {"target": "agent/ann", "because": "mended"}, 404)
    orders = [decode_halt(own.value) for own in broker.records(topics.control(MESH))]
    assert [(own.halted, own.person) for own in orders] == [(True, "eve"), (False, "eve")]
    told = [decode_incident(own.value).kind for own in broker.records(topics.incidents(MESH))]
    assert told[-2:] == ["halt", "lift"]


async def test_a_workflow_and_a_capability_are_halted(
    recorded: Recorded, broker: MemoryBroker
) -> None:
    async with serving(broker, EVE) as asker:
        await known(asker)
        workflow = recorded.workflows["later"]
        for target in (f"workflow/{workflow}", "capability/office.quote", "capability/office.*"):
            halt = await act(asker, "/halts", {"target": target, "because": "stop"})
            assert halt["target"] == target
        api = asker.dashboard.api
        assert api is not None
        await until(lambda: len(api.model.orders.in_force()) == 3)
        chain = await asker.get(f"/workflows/{workflow}")
        assert len(chain["halts"]) >= 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"target": "agent/nobody", "because": "x"}, 404),
        ({"target": "workflow/0-none", "because": "x"}, 404),
        ({"target": "capability/no.such", "because": "x"}, 404),
        ({"target": "ann", "because": "x"}, 400),
        ({"target": "king/ann", "because": "x"}, 400),
        ({"target": "agent/ann", "because": ""}, 400),
        ({"target": "agent/ann", "because": "  "}, 400),
        ({"target": "agent/ann", "because": "x" * 2_001}, 400),
        ({"target": "agent/ann"}, 400),
        ({"target": "agent/ann", "because": "x", "person": "somebody else"}, 400),
        ({"target": 3, "because": "x"}, 400),
        ([], 400),
        (None, 415),
        ("x" * 20_000, 413),
    ],
)
async def test_what_makes_no_sense_is_not_ordered(
    broker: MemoryBroker, body: Any, status: int
) -> None:
    async with serving(broker, EVE) as asker:
        await known(asker)
        assert (await act(asker, "/halts", body, status))["status"] == status
    assert broker.records(topics.control(MESH)) == []


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b'{"target":"a","target":"b"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"target=agent/ann", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
    ],
)
async def test_what_is_no_json_is_refused(
    broker: MemoryBroker, data: bytes, kind: str, status: int
) -> None:
    async with serving(broker, EVE) as asker:
        headers = {ACT_HEADER: "1", "Content-Type": kind}
        async with asker.session.post(
            asker.url(f"{BASE}/halts"), data=data, headers=headers
        ) as answer:
            assert answer.status == status


async def test_cancelling_asks_the_supervisor_and_says_how_it_stands(
    recorded: Recorded, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "CANCEL_S", 0.3)
    workflow = recorded.workflows["later"]
    async with serving(broker, EVE) as asker:
        shape = await act(asker, f"/workflows/{workflow}/cancel", {"because": "ordered twice"})
        check_shape("Cancelled", shape)
        assert (shape["workflow"], shape["ended"]) == (workflow, False)
        ended = recorded.workflows["table"]
        await act(asker, f"/workflows/{ended}/cancel", {"because": "x"}, 409)
        await act(asker, "/workflows/0-none/cancel", {"because": "x"}, 404)


def test_a_reason_says_something() -> None:
    assert reason(" why ") == "why"
    for text in ("", " \n", "x" * 2_001):
        with pytest.raises(BadParameter):
            reason(text)
