from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh import metrics
from mesh.core.meters import Meter, Name, Spread
from mesh.metrics import (
    COUNTER,
    FAMILIES,
    GAUGE,
    HISTOGRAM,
    Distribution,
    Family,
    Sample,
    exposition,
    meter_samples,
)

ENDLESS = {"workflow", "task", "key", "instance", "person", "correlation_id", "input", "text"}
"""What there is no end of: a label of it would make as many series."""


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_is_named_and_told_as_prometheus_has_it(family: Family) -> None:
    assert family.name.startswith("mesh_")
    assert family.name.endswith("_total") == (family.kind == COUNTER)
    assert family.labels[0] == "mesh"
    assert not ENDLESS & set(family.labels)
    assert family.meaning.endswith(".")


def test_a_scrape_in_the_text_format() -> None:
    spread = Distribution([0.1, 2.5], [3, 0, 1], 9.5)
    samples = [
        Sample(Family("mesh_up", GAUGE, ("mesh",), "Whether."), [(("m",), 1)]),
        Sample(Family("mesh_n_total", COUNTER, ("kind",), "How many."), [(('a"b\\c\n',), 2)]),
        Sample(Family("mesh_s_seconds", HISTOGRAM, ("mesh",), "How long."), [(("m",), spread)]),
    ]
    assert exposition(samples).splitlines() == [
        "# HELP mesh_up Whether.",
        "# TYPE mesh_up gauge",
        'mesh_up{mesh="m"} 1.0',
        "# HELP mesh_n_total How many.",
        "# TYPE mesh_n_total counter",
        'mesh_n_total{kind="a\\"b\\\\c\\n"} 2.0',
        "# HELP mesh_s_seconds How long.",
        "# TYPE mesh_s_seconds histogram",
        'mesh_s_seconds_bucket{le="0.1",mesh="m"} 3.0',
        'mesh_s_seconds_bucket{le="2.5",mesh="m"} 3.0',
        'mesh_s_seconds_bucket{le="+Inf",mesh="m"} 4.0',
        'mesh_s_seconds_count{mesh="m"} 4.0',
        'mesh_s_seconds_sum{mesh="m"} 9.5',
    ]


def test_what_agents_have_done_has_a_family_each_with_all_its_labels() -> None:
    meter = Meter()
    of = {
        "tasks_opened": ("root", "direct"),
        "tasks_ended": ("completed",),
        "awards": ("auction", "first"),
        "steps": ("tool", "done"),
        "granted": ("tokens",),
        "spent": ("tokens",),
    }
    for what in metrics._COUNTS:
        meter.counts[Name(what, "demo.work", of.get(what, ()))] = 4
    for what, more in (("task_ms", ()), ("award_ms", ("direct",)), ("bids", ())):
        spread = meter.spreads[Name(what, "demo.work", more)] = Spread((10, 2_000))
        spread.add(1_000)
    found = list(meter_samples("m", {"ann": meter, "bob": meter}))
    assert len(found) == len(metrics._COUNTS) + 3
    for sample in found:
        for labels, _ in sample.values:
            assert len(labels) == len(sample.family.labels), sample.family.name
    parsed = {own.name: own for own in text_string_to_metric_families(exposition(found))}
    ended = parsed["mesh_tasks_ended"].samples
    assert {(own.labels["agent"], own.labels["status"], own.value) for own in ended} == {
        ("ann", "completed", 4.0),
        ("bob", "completed", 4.0),
    }
    lasted = [own for own in parsed["mesh_task_duration_seconds"].samples if "le" in own.labels]
    assert {own.labels["le"]: own.value for own in lasted} == {"0.01": 0, "2": 1, "+Inf": 1}
