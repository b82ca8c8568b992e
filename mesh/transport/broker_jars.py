"""Where the Java side comes from: `KAFKA_HOME`, else jars that Maven resolves by a pinned POM.

The jars go into the user's cache directory, once for all projects. A lock file lets several
processes ask for them at the same time.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import TransportError, UsageError

Progress = Callable[[str], None]

KAFKA_VERSION = "4.3.1"
"""The version that `broker_pom.xml` pins."""

POM = Path(__file__).with_name("broker_pom.xml")
RESOLVE_LIMIT_S = 600.0  # 44 MB; six seconds on a fast line, minutes on a slow one
QUIET_S = 1.0  # waits shorter than this say nothing
TAIL_LINES = 8  # of a failed program's output: enough for the reason, short enough to read


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A Java and a Kafka that can be started. `origin` says for people where Kafka comes from."""

    java: str
    classpath: str
    version: str
    origin: str


def find_installation(
    environ: Mapping[str, str], *, progress: Progress | None = None
) -> Installation:
    """Return what to start, resolving the jars first if they are not there.

    Args:
        environ: The process's environment; `KAFKA_HOME`, `JAVA_HOME`, `XDG_CACHE_HOME`, `HOME` and
            `PATH` are looked at.
        progress: Told in words about waits of more than a second.

    Raises:
        UsageError: `KAFKA_HOME` is no Kafka, or Java or Maven is missing.
        TransportError: Maven failed.
    """
    java = _java(environ)
    home = environ.get("KAFKA_HOME")
    if home:
        libraries = Path(home) / "libs"
        version = _version(libraries)
        if version is None:
            message = f"KAFKA_HOME={home} has no libs/kafka-clients-*.jar; unset it or correct it"
            raise UsageError(message)
        return Installation(
            java=java, classpath=str(libraries / "*"), version=version, origin=f"KAFKA_HOME {home}"
        )
    jars = cache_directory(environ) / f"kafka-{KAFKA_VERSION}"
    if _version(jars) is None:
        _resolve(jars, environ, progress)
    return Installation(
        java=java, classpath=str(jars / "*"), version=KAFKA_VERSION, origin=f"jars in {jars}"
    )


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where this program keeps what it can fetch again."""
    given = environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else _home(environ) / ".cache") / "parley"


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return where `mesh broker start` keeps its broker unless it is told otherwise."""
    given = environ.get("XDG_STATE_HOME")
    return (Path(given) if given else _home(environ) / ".local" / "state") / "parley" / "broker"


def last_lines(path: Path) -> str:
    """Return the end of a program's output, for an error message."""
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(f"  {line[:300]}" for line in lines[-TAIL_LINES:]) or "  (it said nothing)"


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    return Path(home) if home else Path.home()


def _java(environ: Mapping[str, str]) -> str:
    home = environ.get("JAVA_HOME")
    if home:
        named = Path(home) / "bin" / "java"
        if named.is_file():
            return str(named)
        raise UsageError(f"JAVA_HOME={home} has no bin/java; unset it or correct it")
    found = shutil.which("java", path=environ.get("PATH"))
    if found is None:
        raise UsageError(
            "a broker on this machine needs Java 17 or newer, and there is no `java` on PATH; "
            "install one (Debian: apt-get install default-jre-headless), "
            "or use the embedded broker, or name a broker by --bootstrap"
        )
    return found


def _version(directory: Path) -> str | None:
    for jar in directory.glob("kafka-clients-*.jar"):
        return jar.stem.removeprefix("kafka-clients-")
    return None


def _resolve(jars: Path, environ: Mapping[str, str], progress: Progress | None) -> None:
    maven = shutil.which("mvn", path=environ.get("PATH"))
    if maven is None:
        raise UsageError(
            f"Kafka {KAFKA_VERSION} is not on this machine, and there is no `mvn` on PATH to fetch "
            "it; install Maven (Debian: apt-get install maven), or set KAFKA_HOME to an unpacked "
            "Kafka"
        )
    jars.parent.mkdir(parents=True, exist_ok=True)
    with _locked(jars.with_name(f"{jars.name}.lock"), progress):
        if _version(jars) is not None:
            return  # another process was faster
        with tempfile.TemporaryDirectory(dir=jars.parent, prefix="resolving-") as scratch:
            target = Path(scratch) / "jars"
            _maven([maven, "-q", "-B", "-f", str(POM)], target, environ, progress)
            target.rename(jars)  # whole or not at all


def _maven(
    command: list[str], target: Path, environ: Mapping[str, str], progress: Progress | None
) -> None:
    output = target.with_name("output")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    began = time.monotonic()
    with (
        output.open("wb") as sink,
        # Both arguments are a program found on PATH and our own file.
        subprocess.Popen(  # noqa: S603 # nothing in it comes from outside
            [*command, *goal], stdout=sink, stderr=sink, env=dict(environ), cwd=target.parent
        ) as running,
    ):
        while running.poll() is None:
            waited = time.monotonic() - began
            if waited > RESOLVE_LIMIT_S:
                running.kill()
                raise TransportError(
                    f"Maven did not finish within {RESOLVE_LIMIT_S:.0f} s:\n{last_lines(output)}"
                )
            _tell(progress, f"fetching Kafka {KAFKA_VERSION} by Maven", waited)
            _pause(running)
    if running.returncode != 0 or _version(target) is None:
        raise TransportError(
            f"Maven could not fetch Kafka {KAFKA_VERSION} (exit code {running.returncode}):\n"
            f"{last_lines(output)}\n  is there a network, and does `mvn` work otherwise? "
            "KAFKA_HOME may name an unpacked Kafka instead"
        )


def _pause(running: subprocess.Popen[bytes]) -> None:
    try:
        running.wait(QUIET_S)
    except subprocess.TimeoutExpired:
        return


def _tell(progress: Progress | None, what: str, waited_s: float) -> None:
    if progress is not None and waited_s >= QUIET_S:
        progress(f"{what}, {waited_s:.0f} s")


@contextmanager
def _locked(path: Path, progress: Progress | None) -> Iterator[None]:
    began = time.monotonic()
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _tell(progress, "another process fetches Kafka", time.monotonic() - began)
                time.sleep(0.1)
        yield  # closing the file lets go of the lock
