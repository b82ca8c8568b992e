"""Each guard of the house is broken on purpose, and must say so.

A skeleton of the repository is laid out in a temporary directory under the real `pyproject.toml`
and `conftest.py`; it passes every guard (the control), then one offence is planted at a time.
The same list, in words, is `docs/guards.md`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import test_tidy as tidy
from tests import wheel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MODULE = '"""Says what it is for."""\n'
SKELETON = {
    "agents/__init__.py": MODULE,
    "agents/hello.py": MODULE + "\nimport mesh\n\nNAME = mesh.__name__\n",
    "mesh/__init__.py": MODULE,
    "mesh/bootstrap.py": MODULE,
    "mesh/cli/__init__.py": MODULE,
    "mesh/config.py": MODULE + "\nimport os\n\nHOME = os.environ\n",
    "mesh/core/__init__.py": MODULE,
    "mesh/core/tasks.py": MODULE + "\nfrom mesh.errors import MeshError\n\nERROR = MeshError\n",
    "mesh/errors.py": MODULE + '\n\nclass MeshError(Exception):\n    """Base."""\n',
    "mesh/ports.py": MODULE,
    "mesh/processor/__init__.py": MODULE,
    "mesh/runtime/__init__.py": MODULE + "\nimport asyncio\n\nLOOP = asyncio.get_event_loop\n",
    "mesh/testing/__init__.py": MODULE,
    "mesh/transport/__init__.py": MODULE,
    "mesh/wire/__init__.py": MODULE,
    "tests/contract/test_ports.py": "def test_it() -> None:\n    assert True\n",
    "tests/unit/core/test_tasks.py": "def test_it() -> None:\n    assert True\n",
    "tests/unit/test_bootstrap.py": "def test_it() -> None:\n    assert True\n",
    "tests/unit/test_config.py": "def test_it() -> None:\n    assert True\n",
    "tests/unit/test_errors.py": "def test_it() -> None:\n    assert True\n",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small repository that offends nobody."""
    for name, text in SKELETON.items():
        plant(tmp_path, name, text)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def plant(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def run(root: Path, *command: str | Path, **environment: str) -> tuple[int, str]:
    kept = {k: v for k, v in os.environ.items() if k not in {"CI", "MESH_TEST_BOOTSTRAP"}}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=root, env=kept | environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


# ------------------------------------------------------------------------------------- ruff

LINT = [
    ("TID251", "mesh/core/a.py", "import time\n\nNOW = time.time\n"),
    ("TID251", "mesh/core/b.py", "from datetime import datetime\n\nNOW = datetime.now\n"),
    ("TID251", "mesh/core/c.py", "import random\n\nDICE = random.random\n"),
    ("TID251", "mesh/core/d.py", "import uuid\n\nID = uuid.uuid4\n"),
    ("TID251", "mesh/core/e.py", "import asyncio\n\nRUN = asyncio.run\n"),
    ("TID251", "mesh/core/f.py", "import threading\n\nLOCK = threading.Lock\n"),
    ("TID251", "mesh/wire/g.py", "import os\n\nHOME = os.environ\n"),
    ("TID251", "mesh/wire/h.py", "import os\n\nHOME = os.getenv\n"),
    ("TID252", "mesh/core/i.py", "from . import tasks\n\nTASKS = tasks\n"),
    ("BLE001", "mesh/runtime/j.py", "try:\n    X = 1\nexcept Exception:\n    X = 2\n"),
    ("S110", "mesh/runtime/k.py", "try:\n    X = 1\nexcept Exception:\n    pass\n"),
    ("T201", "mesh/runtime/l.py", "print(1)\n"),
    ("PLR0913", "mesh/core/m.py", "def f(a, b, c, *, d, e, f, g):\n    return a\n"),
    ("PGH003", "mesh/core/n.py", "X = 1  # type: ignore\n"),
    ("ERA001", "mesh/core/o.py", "# x = 1\n"),
    ("D103", "mesh/core/p.py", "def f():\n    return 1\n"),
    ("PLC0415", "mesh/runtime/q.py", "def f():\n    import json\n\n    return json\n"),
    ("SLF001", "agents/r.py", "import mesh\n\nX = mesh.core._x\n"),
    ("C901", "mesh/core/s.py", "def f(x):\n" + "    if x:\n        x()\n" * 11),
    ("TRY002", "mesh/core/t.py", "def f():\n    raise Exception\n"),
    ("RUF100", "mesh/core/u.py", "X = 1  # noqa: E501 - no reason left\n"),
]


def test_ruff_refuses(house: Path) -> None:
    assert run(house, BIN / "ruff", "check", ".")[0] == 0
    for _, name, text in LINT:
        plant(house, name, MODULE + "\n" + text)
    _, output = run(house, BIN / "ruff", "check", "--output-format", "json", ".")
    found = {
        (fault["code"], Path(fault["filename"]).relative_to(house.resolve()).as_posix())
        for fault in json.loads(output)
    }
    assert [planted for planted in LINT if planted[:2] not in found] == []


def test_ruff_refuses_a_format_of_ones_own(house: Path) -> None:
    assert run(house, BIN / "ruff", "format", "--check", ".")[0] == 0
    plant(house, "mesh/core/a.py", MODULE + "X  =  'a'\n")
    assert run(house, BIN / "ruff", "format", "--check", ".")[0] == 1


# ------------------------------------------------------------------------------------- mypy

ENUM = "import enum\n\nclass E(enum.Enum):\n    A = 1\n    B = 2\n\n"
TYPES = [
    ("no-untyped-def", "def f(x): return x\n"),
    ("type-arg", "def f(x: list) -> None: ...\n"),
    ("arg-type", "def f(x: int) -> None: ...\nf('a')\n"),
    ("no-any-return", "import json\ndef f() -> int:\n    return json.loads('1')\n"),
    ("exhaustive-match", ENUM + "def f(e: E) -> None:\n    match e:\n        case E.A: pass\n"),
    ("ignore-without-code", "x: int = 'a'  # type: ignore\n"),
    ("unused-ignore", "x: int = 1  # type: ignore[assignment]\n"),
    ("possibly-undefined", "import sys\nif sys.argv:\n    x = 1\nprint(x)\n"),
    ("truthy-bool", "class A: ...\ndef f(a: A) -> None:\n    if a: ...\n"),
    ("redundant-expr", "def f(a: int) -> bool:\n    return isinstance(a, int) and a > 1\n"),
]


def test_mypy_refuses(house: Path) -> None:
    cache = f"--cache-dir={house / 'cache'}"
    assert run(house, BIN / "mypy", cache, "mesh", "agents", "tests/unit")[0] == 0
    for number, (_, text) in enumerate(TYPES):
        plant(house, f"mesh/core/planted_{number}.py", text)
    _, output = run(house, BIN / "mypy", cache, "mesh")
    lines = output.splitlines()
    missed = [
        code
        for number, (code, _) in enumerate(TYPES)
        if not any(f"planted_{number}.py" in line and f"[{code}]" in line for line in lines)
    ]
    assert missed == []


# ----------------------------------------------------------------------------------- layers

DOWN = "Imports point down only"
LAYERS = [
    (DOWN, "mesh/core/a.py", "import mesh.ports\n"),
    (DOWN, "mesh/ports.py", "import mesh.wire\n"),
    (DOWN, "mesh/runtime/a.py", "import mesh.transport\n"),
    (DOWN, "mesh/transport/a.py", "import mesh.processor\n"),
    (DOWN, "mesh/config.py", "import mesh.runtime\n"),
    (DOWN, "mesh/helpers.py", ""),
    ("The core does no I/O and keeps no time", "mesh/core/a.py", "import time\n"),
    ("The core does no I/O and keeps no time", "mesh/core/a.py", "from os import path\n"),
    ("No cycles between siblings", "mesh/core/tasks.py", "import mesh.core.a\n"),
    ("confluent_kafka belongs to the transport", "mesh/cli/a.py", "import confluent_kafka.admin\n"),
    ("Faust belongs to the processor", "mesh/transport/a.py", "import faust\n"),
    ("fastavro belongs to the wire", "mesh/testing/a.py", "import fastavro\n"),
    ("aiohttp belongs to the dashboard", "mesh/runtime/a.py", "import aiohttp\n"),
    ("prometheus_client belongs to the metrics", "mesh/runtime/a.py", "import prometheus_client\n"),
    ("typer and rich belong to the command line", "mesh/testing/a.py", "import rich.table\n"),
    ("Agents see the public mesh only", "agents/a.py", "from mesh.core import tasks\n"),
]
OWNERS = [
    ("mesh/transport/a.py", "import confluent_kafka\n"),
    ("mesh/processor/a.py", "import faust\n"),
    ("mesh/wire/a.py", "import fastavro\n"),
    ("mesh/runtime/health.py", "import aiohttp\n"),
    ("mesh/metrics.py", "import prometheus_client\n"),
    ("mesh/cli/a.py", "import rich.table\nimport typer\n"),
]


def test_layers_hold_and_owners_may_import(house: Path) -> None:
    for name, text in OWNERS:
        plant(house, name, text)
    code, output = run(house, BIN / "lint-imports", "--no-cache")
    assert code == 0, output


@pytest.mark.parametrize(("contract", "name", "text"), LAYERS)
def test_layers_refuse(house: Path, contract: str, name: str, text: str) -> None:
    if "cycles" in contract:
        plant(house, "mesh/core/a.py", "import mesh.core.tasks\n")
    plant(house, name, text)
    code, output = run(house, BIN / "lint-imports", "--no-cache", "--no-logo")
    broken = [line for line in output.splitlines() if line.endswith("BROKEN")]
    assert code == 1
    assert len(broken) == 1, broken
    assert broken[0].startswith(contract)


# ------------------------------------------------------------------------------ house rules

BIG = "def f() -> int:\n" + "    x = 1\n" * 70 + "    return x\n"
OFFENCES = [
    (tidy.module_sizes, "mesh/core/a.py", "X = 1\n" * 601),
    (tidy.function_sizes, "mesh/core/a.py", BIG),
    (tidy.value_objects, "mesh/core/a.py", "@dataclass(frozen=True)\nclass A: ...\n"),
    (tidy.value_objects, "mesh/core/a.py", "@dataclasses.dataclass\nclass A: ...\n"),
    (tidy.core_signatures, "mesh/core/a.py", "def f(x: dict[str, Any]) -> None: ...\n"),
    (tidy.core_signatures, "mesh/core/a.py", "async def f() -> typing.Any: ...\n"),
    (tidy.core_imports, "mesh/core/a.py", "import pydantic\n"),
    (tidy.core_imports, "mesh/core/a.py", "from mesh.wire import x\n"),
    (tidy.core_tests, "tests/unit/core/test_a.py", "from unittest.mock import Mock\n"),
    (tidy.environment, "mesh/runtime/a.py", "import os\nX = os.environ['X']\n"),
    (tidy.environment, "mesh/cli/a.py", "from os import getenv\n"),
    (tidy.sleeping_tests, "tests/unit/test_a.py", "time.sleep(1)\n"),
    (tidy.sleeping_tests, "tests/unit/test_a.py", "asyncio.sleep(0.1)\n"),
    (tidy.asserting_tests, "tests/unit/test_a.py", "def test_a():\n    print(1)\n"),
    (tidy.suppressions, "mesh/core/a.py", "x = 1  # type: ignore[assignment]\n"),
    (tidy.suppressions, "mesh/core/a.py", "x = 1  # noqa: E501\n"),
    (tidy.suppressions, "mesh/core/a.py", "if x:  # pragma: no cover\n    pass\n"),
    (tidy.mirrored_tests, "mesh/core/a.py", ""),
    (tidy.foreign_addresses, "docs/a.md", "see /ro" + "ot/notes.md\n"),
    (tidy.foreign_addresses, "Makefile", "pip install --inde" + "x-url x\n"),
    (tidy.pins, "requirements/runtime.txt", "aiohttp==3.14.5 \\\n    --hash=sha256:0\n"),
    (tidy.pins, "requirements/dev.txt", "six @ https" + "://example.org/six.whl\n"),
    (tidy.scenarios, "tests/scenarios/forgotten.txt", ""),
]


@pytest.mark.parametrize("check", tidy.CHECKS, ids=lambda check: check.__name__)
def test_skeleton_offends_no_house_rule(house: Path, check: tidy.Check) -> None:
    assert list(check(house)) == []
    assert check in {planted for planted, _, _ in OFFENCES}, "a rule that nobody broke"


@pytest.mark.parametrize(("check", "name", "text"), OFFENCES)
def test_house_rule_refuses(house: Path, check: tidy.Check, name: str, text: str) -> None:
    plant(house, name, text)
    offences = list(check(house))
    assert offences
    assert all(offence.startswith(name) for offence in offences)


# ----------------------------------------------------------------------------------- pytest

ASYNC = "import time\nfrom mesh.runtime import nap\n\nasync def test_it() -> None:\n    nap()\n"
KAFKA = "import pytest\n\n@pytest.mark.broker\ndef test_it(kafka: str) -> None:\n    assert kafka\n"
SKIPS = "import pytest\n\ndef test_it() -> None:\n    pytest.skip('a laptop has no such thing')\n"
XFAIL = "import pytest\n\n@pytest.mark.xfail\ndef test_it() -> None:\n    assert True\n"
WARNS = "import warnings\n\ndef test_it():\n    warnings.warn('said once too often')\n"
SUITE = [
    ("not found in `markers`", "import pytest\n\n@pytest.mark.brokr\ndef test_it(): ...\n", {}),
    ("UserWarning: said once too often", WARNS, {}),
    ("XPASS(strict)", XFAIL, {}),
    ("Blocking call to time.sleep", ASYNC, {}),
    ("in CI nothing may be skipped", SKIPS, {"CI": "true"}),
    (
        "real Kafka: none here: [Errno 111]",
        KAFKA,
        {"CI": "1", "MESH_TEST_BOOTSTRAP": "127.0.0.1:1"},
    ),
    ("MESH_TEST_INSTALLED=1, but mesh comes from", SKIPS, {"MESH_TEST_INSTALLED": "1"}),
]


def pytest_in(house: Path, text: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run one test where there is neither java nor mvn."""
    plant(house, "mesh/runtime/__init__.py", "import time\n\ndef nap():\n    time.sleep(0.01)\n")
    plant(house, "tests/unit/test_a.py", text)
    nowhere = {"PATH": str(house / "nowhere"), **environment}
    return run(house, BIN / "python", "-m", "pytest", "tests/unit/test_a.py", **nowhere)


@pytest.mark.parametrize(("message", "text", "environment"), SUITE)
def test_suite_refuses(house: Path, message: str, text: str, environment: dict[str, str]) -> None:
    code, output = pytest_in(house, text, environment)
    assert code != 0, output
    assert message in output, output


TRACER = """
import threading
from coverage.collector import Collector

class Tracer:
    data_lock = threading.Lock()
    lock_data = Collector.lock_data

def nap():
    Tracer.data_lock.acquire()
    threading.Timer(0.1, Tracer.data_lock.release).start()
    Tracer().lock_data()
"""


def test_the_tracer_of_coverage_may_wait_for_its_lock(house: Path) -> None:
    """Otherwise lines that are measured raise at random, on the machine where that is hardest."""
    plant(house, "mesh/runtime/__init__.py", TRACER)
    plant(house, "tests/unit/test_a.py", ASYNC)
    code, output = run(house, BIN / "python", "-m", "pytest", "tests/unit/test_a.py")
    assert code == 0, output


@pytest.mark.parametrize(("ci", "code", "word"), [("1", 1, "1 error"), ("", 0, "1 skipped")])
def test_missing_java_fails_in_ci_and_skips_elsewhere(
    tmp_path: Path, ci: str, code: int, word: str
) -> None:
    nowhere = {"PATH": str(tmp_path), "JAVA_HOME": "", "KAFKA_HOME": "", "CI": ci}
    command = (BIN / "python", "-m", "pytest", "tests/integration/test_real_kafka.py")
    found, output = run(ROOT, *command, **nowhere)
    assert found == code, output
    assert word in output
    assert "real Kafka: none here: a broker on this machine needs Java 17" in output


BROKER = """
import socket
from types import SimpleNamespace

def start(directory, settings, *, environ, progress):
    global server
    server = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{server.getsockname()[1]}"
    return SimpleNamespace(bootstrap=address, directory=directory)

def kill(directory):
    pass
"""


@pytest.mark.parametrize(("kill", "code"), [("server.close()", 0), ("pass", 1)])
def test_broker_that_outlives_the_run_fails_it(house: Path, kill: str, code: int) -> None:
    plant(house, "mesh/transport/broker.py", BROKER.replace("pass", kill))
    plant(house, "tests/unit/test_a.py", KAFKA)
    found, output = run(house, BIN / "python", "-m", "pytest", "tests/unit/test_a.py")
    assert found == code, output
    assert ("brokers of this run outlived it" in output) == bool(code)


def test_coverage_refuses_a_core_line_that_no_test_reaches(house: Path) -> None:
    lines = "def f(x: int) -> int:\n    if x:\n        return 1\n    return 2\n"
    plant(house, "mesh/core/tasks.py", MODULE + lines)
    test = "from mesh.core.tasks import f\n\ndef test_it() -> None:\n    assert f({}) == {}\n"
    report = (BIN / "coverage", "report", "--include=mesh/core/tasks.py")
    measure = (BIN / "coverage", "run", "-m", "pytest", "tests/unit/core")
    both = test.format(1, 1) + test.format(0, 2).replace("test_it", "test_other")
    for text, expected in ((test.format(1, 1), 2), (both, 0)):
        plant(house, "tests/unit/core/test_tasks.py", text)
        code, output = run(house, *measure)
        assert code == 0, output
        assert run(house, *report)[0] == expected


# ------------------------------------------------------------------------- wheel and Makefile


@pytest.mark.parametrize("name", ["agents/hello.py", "tests/conftest.py", "schemas/Bid.avsc"])
def test_wheel_refuses_what_is_not_mesh(tmp_path: Path, name: str) -> None:
    built = tmp_path / "parley_mesh-0.1.0-py3-none-any.whl"
    held = ["mesh/__init__.py", "mesh/py.typed"]
    held += [f"mesh/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.avsc")]
    held += [f"mesh/dashboard/page/{own}" for own in wheel.PAGE]
    with zipfile.ZipFile(built, "w") as archive:
        for member in held:
            archive.writestr(member, "")
    wheel.check_contents(built)
    with zipfile.ZipFile(built, "a") as archive:
        archive.writestr(name, "")
    with pytest.raises(SystemExit, match=f"should not hold .*{name}"):
        wheel.check_contents(built)


def test_wheel_refuses_a_missing_schema(tmp_path: Path) -> None:
    built = tmp_path / "parley_mesh-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(built, "w") as archive:
        archive.writestr("mesh/__init__.py", "")
    with pytest.raises(SystemExit, match=r"lacks .*'mesh/py.typed'"):
        wheel.check_contents(built)


def test_make_sync_names_the_python_it_needs(house: Path) -> None:
    shutil.copy(ROOT / "Makefile", house)
    code, output = run(house, "make", "sync", "PYTHON=false")
    assert code == 2
    assert "Python 3.11 or newer is needed, and none of these is one: false" in output
