"""The log, three times behind one port: in memory, on the embedded broker, on Apache Kafka.

- `memory`: the verified fake, deterministic, with faults. `inbox` is the loop's side of a reader,
  shared with Kafka, so that the fake cannot differ there.
- `kafka`: the log on confluent-kafka. Its parts are `kafka_producer`, `kafka_tail`, `kafka_scan`,
  `kafka_group` (one thread each), `kafka_lookup` and `kafka_admin` (single questions),
  `handover` (from a thread to the loop), `kafka_settings` and `kafka_errors`.
- `embedded`: the broker inside confluent-kafka's wheel; `broker`: a real one on this machine, with
  its jars from `broker_jars`.
- `topics`: the difference between the topics that should be and those that are.

All of them pass `tests/contract`. What Kafka's clients do that bites is said where it is met.
"""
