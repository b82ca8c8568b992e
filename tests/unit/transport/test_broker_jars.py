from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from mesh.errors import TransportError, UsageError
from mesh.transport.broker_jars import (
    KAFKA_VERSION,
    POM,
    cache_directory,
    find_installation,
    last_lines,
    state_directory,
)


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A machine with a Java and with a Maven that puts one jar there, slowly, and counts."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs / "java", "exit 0")
    program(
        programs / "mvn",
        f'echo run >> "{tmp_path}/runs"\n'
        'for word; do case "$word" in -DoutputDirectory=*) target="${word#*=}";; esac; done\n'
        f'sleep 0.2; mkdir -p "$target"; touch "$target/kafka-clients-{KAFKA_VERSION}.jar"',
    )
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
    }


def test_the_pom_pins_the_version_that_we_name() -> None:
    assert f"<version>{KAFKA_VERSION}</version>" in POM.read_text("utf-8")


def test_jars_are_fetched_once(environ: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        found = find_installation(environ)
        assert found.classpath == str(tmp_path / "cache/parley" / f"kafka-{KAFKA_VERSION}" / "*")
        assert (found.version, found.java) == (KAFKA_VERSION, str(tmp_path / "bin/java"))
    assert (tmp_path / "runs").read_text("utf-8").split() == ["run"]


def test_two_that_ask_at_once_fetch_once(environ: dict[str, str], tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(find_installation(environ).version))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [KAFKA_VERSION] * 4
    assert (tmp_path / "runs").read_text("utf-8").split() == ["run"]


def test_a_maven_that_fails_says_why_and_leaves_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    program(tmp_path / "bin/mvn", "echo no network here; exit 3")
    with pytest.raises(TransportError, match=r"(?s)exit code 3.*no network here.*KAFKA_HOME"):
        find_installation(environ)
    assert [path.suffix for path in (tmp_path / "cache/parley").iterdir()] == [".lock"]


def test_kafka_home(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    environ["KAFKA_HOME"] = str(tmp_path)
    with pytest.raises(UsageError, match="KAFKA_HOME"):
        find_installation(environ)
    (tmp_path / "libs/kafka-clients-4.2.1.jar").touch()
    found = find_installation(environ)
    assert (found.version, found.classpath) == ("4.2.1", str(tmp_path / "libs/*"))
    assert not (tmp_path / "runs").exists()


def test_java_home(environ: dict[str, str], tmp_path: Path) -> None:
    environ["JAVA_HOME"] = str(tmp_path)
    assert find_installation(environ).java == str(tmp_path / "bin/java")
    environ["JAVA_HOME"] = str(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="JAVA_HOME"):
        find_installation(environ)


def test_what_is_missing_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    environ["PATH"] = str(tmp_path / "bin")
    (tmp_path / "bin/mvn").unlink()
    with pytest.raises(UsageError, match="no `mvn` on PATH"):
        find_installation(environ)
    (tmp_path / "bin/java").unlink()
    with pytest.raises(UsageError, match="needs Java 17"):
        find_installation(environ)


def test_directories() -> None:
    assert cache_directory({"XDG_CACHE_HOME": "c"}) == Path("c/parley")
    assert cache_directory({"HOME": "h"}) == Path("h/.cache/parley")
    assert state_directory({"XDG_STATE_HOME": "s"}) == Path("s/parley/broker")
    assert state_directory({"HOME": "h"}) == Path("h/.local/state/parley/broker")


def test_last_lines(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_text("\n".join(map(str, range(100))) + "\n\n", "utf-8")
    assert last_lines(output).split() == [str(number) for number in range(92, 100)]
    output.write_text("", "utf-8")
    assert "said nothing" in last_lines(output)
