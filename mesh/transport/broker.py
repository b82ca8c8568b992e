"""A real Apache Kafka on this machine, one node, for development, tests and benchmarks.

A broker is a directory: its configuration, its data, its log and `broker.json`, which says how it
was made and which process it is. `start`, `stop`, `kill` and `status` take the directory and block;
call them from a thread where there is an event loop. Any number of brokers may run at once.

Everything listens on loopback. With `scram` the clients' listener asks for a user and every access
needs an ACL (`KafkaAdmin` makes users and grants); the controller and the broker's own listener
stay without, reachable from this machine alone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mesh.errors import TransportError, UsageError
from mesh.transport.broker_jars import (
    QUIET_S,
    Installation,
    Progress,
    find_installation,
    last_lines,
)
from mesh.transport.kafka_settings import Security

START_LIMIT_S = 90.0  # two seconds on an idle machine; a laptop under load takes many times that
STOP_LIMIT_S = 30.0  # a clean stop takes about one; after this it is killed
FORMAT_LIMIT_S = 60.0
PORTS = range(20_000, 32_000)
"""Below the ports that the system hands to outgoing connections.

A client that reconnects to a port up there while the broker is down can end up connected to itself.
"""
PORT_ATTEMPTS = 5  # another program may take a free port before the broker does
JVM = ("-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
ADMIN = "admin"
STATE = "broker.json"
SECRET_BYTES = 24

COMMON = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INTERNAL",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # Groups form at once and notice a dead member in seconds, not in three quarters of a minute.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": "2000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.assignment.interval.ms": "0",
    "controller.quorum.append.linger.ms": "1",
    # After a kill the controller lets the broker in again when its old session is over: 9 s by
    # default, and a restart takes 11 s. The heartbeat is the same process's own.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "2097152",  # the default takes 128 MiB of a 512 MiB heap
}
SCRAM = {
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "listener.name.client.scram-sha-256.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": f"User:{ADMIN};User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "false",
}


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """How a broker is to be. `port` 0 takes a free one; `extra` are broker settings by name."""

    port: int = 0
    scram: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BrokerStatus:
    """What stands in a directory: a broker, running or not.

    `security` is its administrator's; `internal` an address without authentication.
    """

    directory: Path
    pid: int | None
    bootstrap: str
    internal: str
    security: Security
    origin: str

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.pid is not None


@dataclass(frozen=True, kw_only=True)
class _State:
    cluster: str
    port: int
    internal_port: int
    controller_port: int
    password: str  # empty: no SCRAM
    extra: dict[str, str]
    origin: str
    pid: int = 0


def start(
    directory: Path,
    settings: BrokerSettings | None = None,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
) -> BrokerStatus:
    """Start the broker of this directory, making it first if need be, and wait until it listens.

    One that runs already is left alone. One that was stopped or killed keeps its address, users and
    data; of `settings` only `extra` may change.

    Raises:
        UsageError: Java or Maven is missing, or `settings` contradict what is there.
        TransportError: It did not start; the message ends with its last words.
    """
    directory = directory.resolve()
    known = _load(directory)
    if known is not None:
        _check(directory, known, settings)
        if _alive(known.pid, directory):
            return _status(directory, known)
    installation = find_installation(environ, progress=progress)
    if known is not None:
        extra = known.extra if settings is None else dict(settings.extra)
        state = replace(known, extra=extra, origin=installation.origin)
        return _launch(directory, state, installation, environ, progress)
    return _create(directory, settings or BrokerSettings(), installation, environ, progress)


def stop(
    directory: Path, *, limit_s: float = STOP_LIMIT_S, progress: Progress | None = None
) -> BrokerStatus | None:
    """Stop the broker of this directory by SIGTERM, after `limit_s` by SIGKILL.

    Returns None where there is none. One that does not run is no error.
    """
    return _end(directory.resolve(), signal.SIGTERM, limit_s, progress)


def kill(directory: Path) -> BrokerStatus | None:
    """End the broker of this directory by SIGKILL, like a power cut, and wait until it is gone."""
    return _end(directory.resolve(), signal.SIGKILL, STOP_LIMIT_S, None)


def status(directory: Path) -> BrokerStatus | None:
    """Return what stands in this directory, None where there is no broker."""
    directory = directory.resolve()
    state = _load(directory)
    return None if state is None else _status(directory, state)


@contextmanager
def running(
    directory: Path,
    settings: BrokerSettings | None = None,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
) -> Iterator[BrokerStatus]:
    """Have a broker for the time of a block; it is killed at the end, its directory stays."""
    try:
        yield start(directory, settings, environ=environ, progress=progress)
    finally:
        kill(directory)


# --- making and launching


def _create(
    directory: Path,
    settings: BrokerSettings,
    installation: Installation,
    environ: Mapping[str, str],
    progress: Progress | None,
) -> BrokerStatus:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for attempt in range(PORT_ATTEMPTS):
        port, internal_port, controller_port = _free_ports(settings.port)
        state = _State(
            cluster=_cluster_id(),
            port=port,
            internal_port=internal_port,
            controller_port=controller_port,
            password=secrets.token_hex(SECRET_BYTES) if settings.scram else "",
            extra=dict(settings.extra),
            origin=installation.origin,
        )
        _format(directory, state, installation, environ)
        try:
            return _launch(directory, state, installation, environ, progress)
        except TransportError as error:
            taken = "already in use" in str(error).lower()
            if not taken or settings.port or attempt == PORT_ATTEMPTS - 1:
                raise
            (directory / STATE).unlink(missing_ok=True)
    raise AssertionError("the last attempt returns or raises")


def _format(
    directory: Path, state: _State, installation: Installation, environ: Mapping[str, str]
) -> None:
    _write_properties(directory, state)
    command = [
        *(installation.java, "-cp", installation.classpath, "kafka.tools.StorageTool", "format"),
        *("-t", state.cluster, "-c", str(directory / "server.properties"), "--ignore-formatted"),
    ]
    if state.password:
        credential = f'SCRAM-SHA-256=[name="{ADMIN}",password="{state.password}"]'
        command += ["--add-scram", credential]
    # The program is the Java that was found; the arguments are made here.
    done = subprocess.run(  # noqa: S603 # nothing in it comes from outside
        command,
        capture_output=True,
        text=True,
        check=False,
        env=dict(environ),
        timeout=FORMAT_LIMIT_S,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise TransportError(f"Kafka could not format {directory}: {' '.join(words)}")


def _write_properties(directory: Path, state: _State) -> None:
    client = "SASL_PLAINTEXT" if state.password else "PLAINTEXT"
    own = {
        "controller.quorum.voters": f"1@127.0.0.1:{state.controller_port}",
        "listeners": (
            f"CLIENT://127.0.0.1:{state.port},INTERNAL://127.0.0.1:{state.internal_port},"
            f"CONTROLLER://127.0.0.1:{state.controller_port}"
        ),
        "listener.security.protocol.map": (
            f"CLIENT:{client},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "log.dirs": str(directory / "data"),
    }
    everything = COMMON | (SCRAM if state.password else {}) | own | state.extra
    text = "".join(f"{name}={value}\n" for name, value in everything.items())
    (directory / "server.properties").write_text(text, "utf-8")


def _launch(
    directory: Path,
    state: _State,
    installation: Installation,
    environ: Mapping[str, str],
    progress: Progress | None,
) -> BrokerStatus:
    _write_properties(directory, state)
    log = directory / "broker.log"
    log.unlink(missing_ok=True)
    command = [
        *(installation.java, *JVM, "-cp", installation.classpath, "kafka.Kafka"),
        str(directory / "server.properties"),
    ]
    # Not a `Popen`: the broker outlives us, and nobody shall wait for it. A group of its own, so
    # that an interrupt at the terminal does not reach it.
    pid = os.posix_spawn(
        installation.java,
        command,
        dict(environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,
    )
    state = replace(state, pid=pid)
    _save(directory, state)
    _await_listening(state, log, progress)
    return _status(directory, state)


def _await_listening(state: _State, log: Path, progress: Progress | None) -> None:
    def settled() -> bool:
        if not _exists(state.pid):
            raise TransportError(f"Kafka ended while it started:\n{last_lines(log)}")
        return _listening(state.port)

    if not _wait(settled, START_LIMIT_S, "starting Kafka", progress):
        _signal(state.pid, signal.SIGKILL)
        _wait(lambda: not _exists(state.pid), STOP_LIMIT_S, "killing Kafka", progress)
        raise TransportError(
            f"Kafka did not listen within {START_LIMIT_S:.0f} s:\n{last_lines(log)}"
        )


def _end(
    directory: Path, number: signal.Signals, limit_s: float, progress: Progress | None
) -> BrokerStatus | None:
    state = _load(directory)
    if state is None:
        return None
    if _alive(state.pid, directory):
        _signal(state.pid, number)
        gone = _wait(lambda: not _exists(state.pid), limit_s, "stopping Kafka", progress)
        if not gone:
            _signal(state.pid, signal.SIGKILL)
            _wait(lambda: not _exists(state.pid), STOP_LIMIT_S, "killing Kafka", progress)
    stopped = replace(state, pid=0)
    _save(directory, stopped)
    return _status(directory, stopped)


# --- state


def _check(directory: Path, known: _State, settings: BrokerSettings | None) -> None:
    if settings is None:
        return
    if settings.scram != bool(known.password):
        made = "with SCRAM" if known.password else "without SCRAM"
        raise UsageError(f"the broker in {directory} was made {made}; choose another directory")
    if settings.port not in (0, known.port):
        raise UsageError(
            f"the broker in {directory} was made for port {known.port}; choose another directory"
        )


def _load(directory: Path) -> _State | None:
    path = directory / STATE
    if not path.is_file():
        return None
    return _State(**json.loads(path.read_text("utf-8")))


def _save(directory: Path, state: _State) -> None:
    scratch = directory / f"{STATE}.new"
    scratch.touch(mode=0o600)  # it holds the administrator's password
    scratch.write_text(json.dumps(asdict(state), indent=1), "utf-8")
    scratch.replace(directory / STATE)


def _status(directory: Path, state: _State) -> BrokerStatus:
    security = Security()
    if state.password:
        security = Security(
            protocol="SASL_PLAINTEXT",
            mechanism="SCRAM-SHA-256",
            username=ADMIN,
            password=state.password,
        )
    return BrokerStatus(
        directory=directory,
        pid=state.pid if _alive(state.pid, directory) else None,
        bootstrap=f"127.0.0.1:{state.port}",
        internal=f"127.0.0.1:{state.internal_port}",
        security=security,
        origin=state.origin,
    )


# --- processes and ports


def _alive(pid: int, directory: Path) -> bool:
    """Whether `pid` runs and is this directory's broker, not a later process with its number."""
    if not pid or not _exists(pid):
        return False
    # The program is the system's; its only argument is a number.
    done = subprocess.run(  # noqa: S603 # nothing in it comes from outside
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return str(directory / "server.properties") in done.stdout


def _exists(pid: int) -> bool:
    try:
        done, _ = os.waitpid(pid, os.WNOHANG)  # if it is our child, its end must be collected
    except ChildProcessError:
        done = 0
    if done:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it was faster


def _wait(done: Callable[[], bool], limit_s: float, what: str, progress: Progress | None) -> bool:
    began = told = time.monotonic()
    while not done():
        now = time.monotonic()
        if now - began > limit_s:
            return False
        if progress is not None and now - told >= QUIET_S:
            told = now
            progress(f"{what}, {now - began:.0f} s")
        time.sleep(0.02)
    return True


def _listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _free_ports(wanted: int) -> tuple[int, int, int]:
    found = [wanted] if wanted else []
    while len(found) < 3:
        port = PORTS.start + secrets.randbelow(len(PORTS))
        if port not in found and _free(port):
            found.append(port)
    return found[0], found[1], found[2]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _cluster_id() -> str:
    while True:
        name = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        if not name.startswith("-"):  # the formatter would take it for an option
            return name
