from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from mesh.runtime.digest import code_digest

SOURCE = '''
from collections import OrderedDict
import json

LIMIT = 10
NAMES = frozenset({"a", "b", "c", "d", "e"})
UNUSED = 1


class Helper:
    FACTOR = 2

    def twice(self, value):
        return value * self.FACTOR

    @staticmethod
    def once(value):
        return value

    @property
    def name(self):
        return "helper"


def add(a, b=1):
    return a + b


def unused(a):
    return a


def decorated(function):
    def inner(value):
        return function(value)
    return inner


@decorated
def checked(value):
    return value in {"x", "y"}


def handler(value):
    """Docstring."""
    if value in NAMES and checked(value):
        return json.dumps([add(one, LIMIT) for one in OrderedDict(value)])
    return Helper().twice(value)
'''


def digest_of(source: str, name: str = "handler") -> str:
    module = ModuleType("some_agent")
    exec(compile(source, "some_agent.py", "exec"), module.__dict__)
    function = vars(module)[name]
    assert isinstance(function, FunctionType)
    return code_digest(function)


BEFORE = digest_of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value in NAMES", "value not in NAMES"),
        ("LIMIT = 10", "LIMIT = 11"),
        ('"a", "b"', '"a", "z"'),
        ("return a + b", "return a - b"),
        ("b=1", "b=2"),
        ("return value * self.FACTOR", "return value + self.FACTOR"),
        ("FACTOR = 2", "FACTOR = 3"),
        ('{"x", "y"}', '{"x", "z"}'),
        ("return function(value)", "return not function(value)"),
        ('return "helper"', 'return "other"'),
        ("        return value\n", "        return -value\n"),
    ],
)
def test_digest_changes_with_what_the_handler_reaches(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) != BEFORE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("UNUSED = 1", "UNUSED = 2"),
        ("def unused(a):\n    return a", "def unused(a):\n    return -a"),
        ("LIMIT = 10", "\n\n# a comment\nLIMIT = 10"),
    ],
)
def test_digest_does_not_change_with_the_rest(old: str, new: str) -> None:
    assert old in SOURCE
    assert digest_of(SOURCE.replace(old, new)) == BEFORE


def test_digest_is_the_same_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "some_agent.py"
    path.write_text(SOURCE)
    script = "import some_agent, mesh.runtime.digest as d; print(d.code_digest(some_agent.handler))"
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {BEFORE}


def test_helpers_of_other_modules_of_the_package_count() -> None:
    def package(word: str) -> FunctionType:
        helper = ModuleType("firm.helper")
        exec(f"def act(value):\n    return value + {word!r}\n", helper.__dict__)
        module = ModuleType("firm.lead")
        vars(module)["helper"] = helper
        exec("def handler(value):\n    return helper.act(value)\n", module.__dict__)
        function = vars(module)["handler"]
        assert isinstance(function, FunctionType)
        return function

    assert code_digest(package("a")) == code_digest(package("a"))
    assert code_digest(package("a")) != code_digest(package("b"))


def test_recursion_ends() -> None:
    assert digest_of("def handler(value):\n    return handler(value)\n")
    empty_cell = """
def make():
    def handler():
        return later
    if 0:
        later = 1
    return handler
handler = make()
"""
    assert digest_of(empty_cell)
