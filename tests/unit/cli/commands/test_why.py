from __future__ import annotations

import json
from dataclasses import replace

from mesh.core import facts as f
from mesh.ports import Place
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from mesh.wire.facts import decode_fact, encode_fact
from tests.unit.cli.conftest import Cli, Recorded


def test_every_award_of_a_workflow_is_recomputed(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["chair"]
    ran = cli("why", workflow, "--all", "-o", "json", broker=recorded.broker)
    assert ran.code == 0
    shapes = json.loads(ran.out)
    assert len(shapes) == 2
    assert all(own["agrees"] for own in shapes)
    assert sum(own["awards"] for own in shapes) == 3
    one = cli("why", shapes[1]["task"][:14], broker=recorded.broker)
    assert one.out.count("recomputed from the log: agrees") == 2
    assert cli("why", broker=recorded.broker).code == 0


def test_an_award_that_does_not_follow_is_code_5(cli: Cli, recorded: Recorded) -> None:
    workflow = recorded.workflows["table"]
    ran = cli("why", workflow, "--all", broker=_forged(recorded.broker, workflow))
    assert ran.code == 5
    assert "DISAGREES" in ran.out
    assert "1 awards do not follow from their figures" in ran.err


def test_every_award_of_the_mesh_is_recomputed(cli: Cli, recorded: Recorded) -> None:
    ran = cli("why", "--every-workflow", broker=recorded.broker)
    assert ran.code == 0
    assert "5 workflows, 10 tasks, " in ran.out
    assert "all agree" in ran.out
    forged = _forged(recorded.broker, recorded.workflows["table"])
    ran = cli("why", "--every-workflow", "-o", "json", broker=forged)
    assert ran.code == 5
    shape = json.loads(ran.out)
    facts = (decode_fact(own.value).fact for own in forged.records(topics.audit("test")))
    awards = [fact for fact in facts if getattr(fact, "award", None) and _awards(fact)]
    assert (shape["tasks"], shape["awards"]) == (10, len(awards))
    assert [own["agrees"] for own in shape["disagree"]] == [False]
    assert cli("why", "--every-workflow", recorded.workflows["table"]).code == 2


def _awards(fact: f.Fact) -> bool:
    return isinstance(fact, f.TaskOpened | f.TaskAwarded)


def _forged(broker: MemoryBroker, workflow: str) -> MemoryBroker:
    """Return the same log with one score raised."""
    made = MemoryBroker(broker.clock)
    topic = topics.audit("test")
    for plan in topics.plans("test", partitions=topics.Partitions(audit=2)):
        made.create_topic(plan)
    for own in broker.records(topic):
        decoded = decode_fact(own.value)
        fact, value = decoded.fact, own.value
        if isinstance(fact, f.TaskAwarded) and fact.workflow == workflow and fact.award.offers:
            first, *rest = fact.award.offers
            offers = (first._replace(score_permille=first.score_permille + 1), *rest)
            forged = replace(fact, award=replace(fact.award, offers=offers))
            value = encode_fact(forged, decoded.sequence, decoded.previous)
        made.partition(Place(topic, own.partition)).append(own.append_ms, own.key, value, ())
    return made
