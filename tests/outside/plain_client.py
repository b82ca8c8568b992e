"""A client that knows nothing of this project: plain confluent-kafka, JSON and headers.

    python plain_client.py BOOTSTRAP < CASES

`CASES` is a JSON object: the task topic, the reply topic, and a list of records, each with a
`value` (hexadecimal, or null), `headers`, and maybe a `partition` and a `timestamp`. Every record
gets a correlation id, unless it has one. The answers go to the output as JSON: correlation id to
list of replies. It waits until each id in `expect` was answered, and at most `within_s`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition


def main(bootstrap: str) -> None:
    cases = json.load(sys.stdin)
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for record in cases["records"]:
        value = record["value"]
        options: dict[str, Any] = {}
        if "timestamp" in record:
            options["timestamp"] = record["timestamp"]
        producer.produce(
            record.get("topic", cases["topic"]),
            None if value is None else bytes.fromhex(value),
            partition=record.get("partition", -1),
            headers=[(name, _bytes(given)) for name, given in record["headers"]],
            **options,
        )
        producer.poll(0)
    left = producer.flush(30)
    assert left == 0, f"{left} records were not delivered"
    print(json.dumps(_answers(bootstrap, cases)))


def _bytes(given: str | None) -> bytes | None:
    """Return a header's value; text that begins with 0x is hexadecimal."""
    if given is None:
        return None
    return bytes.fromhex(given[2:]) if given.startswith("0x") else given.encode()


def _answers(bootstrap: str, cases: dict[str, Any]) -> dict[str, list[Any]]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "outside",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    topic = cases["replies"]
    known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in known])
    expected, answers = set(cases["expect"]), dict[str, list[Any]]()
    until = time.monotonic() + cases["within_s"]
    while not expected <= answers.keys() and time.monotonic() < until:
        for message in consumer.consume(500, timeout=0.1):
            value, headers = message.value(), dict(message.headers() or [])
            assert isinstance(value, bytes)
            key = (message.key() or b"").decode()
            assert headers.get("correlation-id", b"") == key.encode()
            answers.setdefault(key, []).append(json.loads(value))
    consumer.close()
    return answers


if __name__ == "__main__":
    main(sys.argv[1])
