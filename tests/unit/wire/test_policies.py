from __future__ import annotations

import pytest

from mesh.core.detectors.limits import Limits, LimitTable
from mesh.core.responses import Response, Responses
from mesh.errors import UsageError
from mesh.wire.entries import PolicyDocument
from mesh.wire.policies import Understood, parse, understood

RULE = 'version = 1\n[[state]]\nprefix = "{}"\nresolution = "reject"\n'
TEXT = """
version = 4
[limits]
loop_returns = 2                   # in this house a question may be handed down twice
[limits.agents."buyer"]
depth = 5
[limits.capabilities."sales.mailing"]
fan_out_children = 5000
[limits.workflows."risk.review"]
retries = 3
velocity_times = 4
[incidents]
loop = "ask"
velocity = "halt"
"""


def entry(text: str) -> PolicyDocument:
    return PolicyDocument("mesh", 4, text, "eve", "so")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("version = ", "here: no TOML: Invalid value"),
        ("", "here: version: it is missing; it is a number above 0 that grows"),
        ("version = 0", "here: version: input should be greater than or equal to 1; it is a"),
        ('version = "2"', "here: version: input should be a valid integer"),
        ("version = 1\nobjectivs = []", "objectivs: there is no such field; did you mean objec"),
        ("version = 1\nhalts = []", "halts: there is no such field; known are version, objec"),
        ('version = 1\nobjectives = ["a", 2]', r"objectives\[1\]: input should be a valid string"),
        ('version = 1\nobjectives = ["a", "a"]', "objective 'a' is given twice"),
        (
            'version = 1\n[[state]]\nprefix = "a"',
            r"state\[0\].resolution: it is missing; it is one",
        ),
        (
            'version = 1\n[[state]]\nprefix = "a"\nresolution = "merge"\nmerge = "sum"',
            r"state\[0\].merge 'sum': it is one of all, any, max",
        ),
        (
            f'{RULE.format("b")}[[state]]\nprefix = "/a"\nresolution = "reject"',
            r"state\[1\].prefix '/a': it is `\*`, or segments parted by `/`",
        ),
        (
            'version = 1\n[[state]]\nprefix = "a"\nresolution = "reject"\nmrge = "max"',
            r"state\[0\].mrge: there is no such field; did you mean merge",
        ),
        (
            'version = 1\n[[state]]\nprefix = "a"\nresolution = "arbitrate"',
            r"state\[0\]: to arbitrate needs objectives",
        ),
        ("a = 1\nb = 1\nc = 1", "and 1 more"),
    ],
)
def test_a_mistake_is_named_with_its_field(text: str, mistake: str) -> None:
    with pytest.raises(UsageError, match=mistake):
        parse(text, "here")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("limits = 3", r"limits: input should be a valid dictionary; it is a table: \[limits\]"),
        (
            "[limits]\nloop_return = 1",
            r"limits.loop_return: there is no such limit; did you mean lo",
        ),
        (
            "[limits]\nloops = 'x'\nqqq = 2",
            "limits.qqq: there is no such limit; known are depth,",
        ),
        ("[limits]\ndepth = 0", "limits.depth: it is a whole number from 1 on, the most that is"),
        ("[limits]\ndepth = true", "limits.depth: it is a whole number"),
        ("[limits]\ndepth = 9223372036854775808", "limits.depth: it is a whole number"),
        (
            "[limits.agents.a]\ndepht = 2",
            "limits.agents.a.depht: there is no .* did you mean depth",
        ),
        ("[limits.agents.a]\ndepth = '2'", "limits.agents.a.depth: it is a whole number"),
        (
            "[limits]\nagents = 2",
            r'limits.agents: it is a table for each agent: \[limits.agents."N',
        ),
        (
            "[limits.capabilities]\n'a.b' = 2",
            r"limits.capabilities.a.b: it is a table for each capability: \[limits.cap",
        ),
        (
            "[limits.agent.a]\ndepth = 2",
            "limits.agent: there is no such table; did you mean agents",
        ),
        (
            "[incidents]\nloops = 'ask'",
            "incidents.loops: there is no such kind of incident; did you",
        ),
        ("[incidents]\nloop = 'stop'", "incidents.loop: it is one of warn, ask, halt"),
        ("[incidents]\nloop = ['halt']", "incidents.loop: it is one of warn, ask, halt"),
        (
            "incidents = 'halt'",
            r"incidents: input should be a valid dictionary; it is a table \[inc",
        ),
    ],
)
def test_so_is_one_in_what_the_watchman_goes_by(text: str, mistake: str) -> None:
    with pytest.raises(UsageError, match=f"here: .*{mistake}"):
        parse(f"version = 1\n{text}", "here")


def test_limits_and_responses_are_read() -> None:
    assert parse(TEXT, "here").watching() == {
        "limits.loop_returns": "2",
        "limits.agents.buyer.depth": "5",
        "limits.capabilities.sales.mailing.fan_out_children": "5000",
        "limits.workflows.risk.review.retries": "3",
        "limits.workflows.risk.review.velocity_times": "4",
        "incidents.loop": "ask",
        "incidents.velocity": "halt",
    }
    assert understood(entry(TEXT)) == Understood(
        LimitTable(
            mesh=Limits(loop_returns=2),
            agents={"buyer": {"depth": 5}},
            capabilities={"sales.mailing": {"fan_out_children": 5000}},
            workflows={"risk.review": {"retries": 3, "velocity_times": 4}},
        ),
        Responses(version=4, chosen={"loop": Response.ASK, "velocity": Response.HALT}),
    )


def test_of_a_newer_policy_is_obeyed_what_is_understood() -> None:
    newer = """
    approvals = ["payment"]
    [limits]
    depth = 7
    drift = 3
    [incidents]
    loop = "warn"
    depth = "escalate"
    """
    found = understood(entry(f"version = 4\n{newer}"))
    assert found is not None
    assert found.limits == LimitTable(mesh=Limits(depth=7))
    assert found.responses.chosen == {"loop": Response.WARN}
    assert "mesh: approvals: there is no such field" in found.mistakes
    shape = understood(entry("version = 4\nlimits = 3\nincidents = 'x'"))
    assert shape is not None
    assert (shape.limits, shape.responses) == (LimitTable(), Responses(version=4))
    assert shape.mistakes


def test_of_what_is_no_toml_nothing_is_understood() -> None:
    assert understood(entry("version = ")) is None
