"""What every test may ask for: a real Kafka, a name of its own, the rewrite flag.

Three promises of the suite are kept here and nowhere else:

- a real broker that cannot be had skips a test on a laptop and fails it in CI;
- in CI no test is skipped, for whatever reason;
- a blocking call that mesh or an agent makes on the event loop fails the test.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import secrets
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import blockbuster
import hypothesis
import pytest

import mesh
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.transport.broker import BrokerSettings, BrokerStatus

INSTALLED = os.environ.get("MESH_TEST_INSTALLED") == "1"
CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
KAFKA = pytest.StashKey[str]()
SCANNED = [name for name in ("mesh", "agents") if importlib.util.find_spec(name)]
HOW_TO_GET_KAFKA = (
    "install java and mvn (Debian: apt-get install default-jre-headless maven), "
    "or name a broker: MESH_TEST_BOOTSTRAP=HOST:PORT"
)


# How long an example takes is not its property: a loaded machine is no failure.
hypothesis.settings.register_profile("mesh", deadline=None)
hypothesis.settings.load_profile("mesh")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mesh")
    group.addoption(
        "--rewrite", action="store_true", help="rewrite golden files, then read the diff"
    )
    group.addoption(
        "--kafka",
        choices=("auto", "require", "off"),
        default="require" if CI else "auto",
        help="where real Kafka is missing: skip (auto), fail (require, the default under CI)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"mesh from {Path(mesh.__file__).parent}, kafka: {config.getoption('--kafka')}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """`make wheel-test` is worth nothing if it tests the tree."""
    if INSTALLED and "site-packages" not in Path(mesh.__file__).parts:
        pytest.exit(f"MESH_TEST_INSTALLED=1, but mesh comes from {mesh.__file__}", returncode=1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"in CI nothing may be skipped: {report.longreprtext}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = terminalreporter.config.stash.get(KAFKA, None)
    if found is not None:
        terminalreporter.write_line(f"real Kafka: {found}")


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written anew instead of compared."""
    return bool(request.config.getoption("--rewrite"))


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A mesh name for this test and this run alone, fit for topics and groups."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{words[:40]}-{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def no_blocking_call(request: pytest.FixtureRequest) -> Iterator[None]:
    function = getattr(request, "function", None)
    if function is None or not inspect.iscoroutinefunction(inspect.unwrap(function)):
        yield
        return
    with blockbuster.blockbuster_ctx(SCANNED) as watched:
        # The tracer of coverage takes a lock of its own when a function of another file is called.
        # To raise there would be an exception in whatever line is measured, and no fault of it.
        watched.functions["threading.Lock.acquire"].can_block_in(
            "coverage/collector.py", "lock_data"
        )
        yield


@pytest.fixture(scope="session")
def start_kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., BrokerStatus]]:
    """Start real brokers; `start_kafka(settings)` is `broker.start` in a directory of its own.

    Where there can be none the caller is skipped, or fails in CI. A test may stop and restart its
    broker through `mesh.transport.broker`; all that were started are killed when the run ends.
    """
    from mesh.transport import broker

    started: list[BrokerStatus] = []

    def start(settings: BrokerSettings | None = None) -> BrokerStatus:
        directory = tmp_path_factory.mktemp("kafka")
        say = partial(_say, request.config)
        with _or_missing(request.config, MeshError):
            started.append(broker.start(directory, settings, environ=os.environ, progress=say))
        return started[-1]

    yield start
    for status in started:
        broker.kill(status.directory)
    alive = [status.bootstrap for status in started if _listens(status.bootstrap)]
    if alive:
        pytest.fail(f"brokers of this run outlived it: {', '.join(alive)}", pytrace=False)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """The address of a real Kafka that tests share: MESH_TEST_BOOTSTRAP, else one started here."""
    given = os.environ.get("MESH_TEST_BOOTSTRAP")
    if given is None:
        address = request.getfixturevalue("start_kafka")().bootstrap
    else:
        with _or_missing(request.config, OSError):
            address = given
            _connect(given)
    request.config.stash[KAFKA] = f"at {address}"
    return str(address)


@contextmanager
def _or_missing(config: pytest.Config, missing: type[Exception]) -> Iterator[None]:
    """Turn a Kafka that cannot be had into a skip or, where it must be there, a failure."""
    if config.getoption("--kafka") == "off":
        pytest.skip("--kafka=off")
    try:
        yield
    except missing as error:
        config.stash[KAFKA] = message = f"none here: {error}; {HOW_TO_GET_KAFKA}"
        if config.getoption("--kafka") == "require":
            pytest.fail(f"real Kafka: {message}", pytrace=False)
        pytest.skip(f"real Kafka: {message}")


def _connect(address: str) -> None:
    host, _, port = address.split(",", maxsplit=1)[0].rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()


def _listens(address: str) -> bool:
    try:
        _connect(address)
    except OSError:
        return False
    return True


def _say(config: pytest.Config, text: str) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n  {text}", flush=True)
