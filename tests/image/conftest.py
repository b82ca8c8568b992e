"""The image's contents, built once, and its processes: as a container has them, without Docker."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.conftest import CI
from tests.e2e.conftest import LIMIT_S, ROOT, Ran, Running
from tests.image.dockerfile import Build, Stage, enter, obstacle

ARTIFACTS = "/var/lib/parley/artifacts"


class First(Running):
    """Mutable: the first process of a space of its own, as that of a container is."""

    def end(self, number: signal.Signals = signal.SIGTERM, limit_s: float = LIMIT_S) -> int:
        """Send a signal to the process itself, which is `unshare`'s child; return its exit code."""
        outer = self.process.pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if children:
            subprocess.run(["kill", f"-{number.value}", *children], check=True)
        code = self.process.wait(limit_s)
        self._reader.join(limit_s)
        return code


class Image:
    """Mutable: what was built, and the containers that run from it."""

    def __init__(self, stage: Stage, artifacts: Path) -> None:
        self.stage = stage
        self.artifacts = artifacts
        self.volumes = {ARTIFACTS: artifacts}
        self._running: list[First] = []

    def words(self, command: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """Return the words that run a command as a container does."""
        own = self.stage.environ | dict(environ)
        return enter(self.stage, command, environ=own, volumes=self.volumes)

    def plain(self, *command: str, **environ: str) -> Ran:
        """Run a command instead of the image's own to its end."""
        done = subprocess.run(
            self.words(command, environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S * 2,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run a container to its end."""
        return self.plain(*self.stage.entrypoint, *arguments, **environ)

    def start(self, *arguments: str, **environ: str) -> First:
        """Start a container and let it go on."""
        process = subprocess.Popen(
            self.words([*self.stage.entrypoint, *arguments], environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(First(process))
        return self._running[-1]

    def healthy(self, **environ: str) -> Ran:
        """Run the health check of a container with this environment."""
        return self.plain(*self.stage.health, **environ)

    def close(self) -> None:
        """End what is still running."""
        for running in self._running:
            if running.process.poll() is None:
                running.end(signal.SIGKILL)
            if running.process.stderr is not None:
                running.process.stderr.close()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The image's root, made by the Dockerfile's own lines."""
    reason = obstacle()
    if reason:
        how = pytest.fail if CI else pytest.skip
        how(f"no root file system of its own can be made here: {reason}")
    place = tmp_path_factory.mktemp("image")
    began = time.monotonic()
    built = Build(ROOT, place).run()
    print(f"built in {time.monotonic() - began:.0f} s")
    return built


@pytest.fixture
def image(stage: Stage, tmp_path: Path) -> Iterator[Image]:
    """The image, with a volume of this test's own for large bodies."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    artifacts.chmod(0o777)
    made = Image(stage, artifacts)
    yield made
    made.close()
