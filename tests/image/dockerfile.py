"""Builds what a Dockerfile says, without Docker: its own lines, in a root of their own.

A stage is a folder. What the base image would bring, the system and Python, is this machine's,
bound read-only; the rest of the root is empty but for what COPY and RUN put there. That needs a
mount namespace (`unshare` of util-linux), as root or as a user who may make one.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BOUND = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")
"""Of this machine, read-only: what stands for the base image."""
KNOWN = ("ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "LABEL", "EXPOSE", "STOPSIGNAL",
         "HEALTHCHECK", "ENTRYPOINT", "CMD")  # fmt: skip


@dataclass(kw_only=True)
class Stage:
    """Mutable: one stage, its root below `root`, and what its lines said so far."""

    name: str
    root: Path
    base: str
    workdir: str = "/"
    user: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        """Return where a path of the stage is on this machine."""
        absolute = path if path.startswith("/") else f"{self.workdir}/{path}"
        return self.root / absolute.lstrip("/")


def instructions(text: str) -> list[tuple[str, str]]:
    """Return keyword and rest of each instruction.

    Raises:
        ValueError: One of them is none that is known here.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    for keyword, _, _ in found:
        if keyword not in KNOWN:
            raise ValueError(f"{keyword} is not understood here; teach it, or do without")
    return [(keyword, rest.strip()) for keyword, _, rest in found]


class Build:
    """Mutable: a Dockerfile's stages, built below `place` from the tree at `context`."""

    def __init__(self, context: Path, place: Path) -> None:
        self.context = context
        self.place = place
        self.stages: list[Stage] = []
        self._arguments: dict[str, str] = {}
        self._ignored = Ignored((context / ".dockerignore").read_text().splitlines())

    def run(self) -> Stage:
        """Do every line; return the last stage: the image."""
        for keyword, rest in instructions((self.context / "Dockerfile").read_text()):
            getattr(self, f"_{keyword.lower()}")(rest)
        return self.stages[-1]

    def _arg(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self._arguments[name] = value

    def _from(self, rest: str) -> None:
        words = rest.split()
        name = words[2] if len(words) == 3 else str(len(self.stages))
        base = re.sub(r"\$\{(\w+)\}", lambda found: self._arguments[found[1]], words[0])
        root = self.place / name
        for folder in ("proc", "dev", "tmp", ".old", *(path.lstrip("/") for path in bound())):
            (root / folder).mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)  # a temporary folder may be its owner's alone; this is everybody's root
        self.stages.append(Stage(name=name, root=root, base=base))

    def _workdir(self, rest: str) -> None:
        self.stages[-1].workdir = rest
        self.stages[-1].inside(rest).mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        stage, words = self.stages[-1], rest.split()
        from_tree = not words[0].startswith("--from=")
        other = None if from_tree else words.pop(0).removeprefix("--from=")
        *sources, target = words
        into = target.endswith("/") or len(sources) > 1
        for source in sources:
            place = stage.inside(f"{target}/{Path(source).name}" if into else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if from_tree:
                self._ignored.copy(self.context, source, place)
            else:
                found = next(one for one in self.stages if one.name == other).inside(source)
                shutil.copytree(found, place, symlinks=True)

    def _run(self, rest: str) -> None:
        stage = self.stages[-1]
        # The interpreter may be elsewhere than the base image's; how to reach registries is ours.
        names = ("PIP_INDEX", "PIP_CERT", "PIP_PROXY", "SSL_", "HTTP", "http", "no_", "NO_PROXY")
        given = {name: value for name, value in os.environ.items() if name.startswith(names)}
        given |= {"PYTHON": interpreter(), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        words = enter(stage, ["sh", "-c", rest], writable=True, environ=given | stage.environ)
        subprocess.run(words, check=True)

    def _env(self, rest: str) -> None:
        self.stages[-1].environ |= dict(word.split("=", 1) for word in shlex.split(rest))

    def _user(self, rest: str) -> None:
        self.stages[-1].user = rest

    def _entrypoint(self, rest: str) -> None:
        self.stages[-1].entrypoint = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self.stages[-1].command = json.loads(rest)

    def _healthcheck(self, rest: str) -> None:
        self.stages[-1].health = json.loads(rest.partition("CMD ")[2])

    def _label(self, rest: str) -> None:
        assert "=" in rest

    def _expose(self, rest: str) -> None:
        assert all(word.isdigit() for word in rest.split())

    def _stopsignal(self, rest: str) -> None:
        assert rest == "SIGTERM"


class Ignored:
    """A .dockerignore: the last line that fits a path decides."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._rules = [line.strip() for line in lines if line.strip() and line[0] != "#"]

    def has(self, path: str) -> bool:
        """Whether a path of the context, or a folder above it, stays outside."""
        parts = path.split("/")
        heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        outside = False
        for rule in self._rules:
            pattern = rule.lstrip("!").removeprefix("**/")
            fits = heads if "**/" not in rule else parts
            if any(fnmatch.fnmatchcase(one, pattern) for one in fits):
                outside = not rule.startswith("!")
        return outside

    def copy(self, context: Path, source: str, place: Path) -> None:
        """Copy a file or a folder of the context without what stays outside.

        Raises:
            FileNotFoundError: All of it stays outside, or it is not there.
        """
        found = context / source
        files = (
            [found] if found.is_file() else sorted(one for one in found.rglob("*") if one.is_file())
        )
        kept = [one for one in files if not self.has(one.relative_to(context).as_posix())]
        if not kept:
            raise FileNotFoundError(f"COPY {source}: the context has nothing of it")
        for one in kept:
            target = place if found.is_file() else place / one.relative_to(found)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, target)


# --- inside -------------------------------------------------------------------------------------


def interpreter() -> str:
    """Return the Python that stands for the base image's."""
    return str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))


def bound() -> list[str]:
    """Return the folders that are bound: of those above what there is, and Python's own."""
    here = [path for path in BOUND if Path(path).is_dir()]
    home = sys.base_prefix
    return (
        here if any(home.startswith(f"{path}/") or home == path for path in here) else [*here, home]
    )


def enter(
    stage: Stage,
    command: Sequence[str],
    *,
    writable: bool = False,
    environ: Mapping[str, str] | None = None,
    volumes: Mapping[str, Path] | None = None,
) -> list[str]:
    """Return the words that run a command in a stage: as its first process, its user and no other.

    Args:
        stage: Its root, working folder and user hold.
        command: What to run there.
        writable: Whether the root may be written to, as while it is built.
        environ: All that the command sees of an environment.
        volumes: Folders and files of this machine that are bound, by their place inside.
    """
    root = shlex.quote(str(stage.root))
    steps = ["set -e", "PATH=$PATH:/usr/sbin:/sbin", f"mount --rbind {root} {root}"]
    for path in bound():
        steps += [f"mount --rbind {path} {root}{path}", f"mount -o remount,bind,ro {root}{path}"]
    steps += [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc"]
    for inside, own in (volumes or {}).items():
        place = f"{root}{inside}"
        steps += [f"mkdir -p {Path(place).parent}", f"[ -e {place} ] || touch {place}"]
        steps.append(f"mount --bind {shlex.quote(str(own))} {place}")
    # Not chroot: from within one a user who is nobody special could not become another.
    steps += [f"cd {root}", "pivot_root . .old", "umount -l /.old"]
    if not writable:
        steps.append("mount -o remount,bind,ro /")
    words = ["env", "-i", *(f"{name}={value}" for name, value in (environ or {}).items())]
    words += [*_as_user(stage.user), *command]
    steps.append(f"cd {shlex.quote(stage.workdir)} && exec {shlex.join(words)}")
    space = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        space.append("--map-root-user")
    return [*space, "sh", "-c", "\n".join(steps)]


def _as_user(user: str) -> list[str]:
    if not user:
        return []
    number, group = user.split(":")
    if os.geteuid() != 0:
        return ["/usr/bin/unshare", "--user", f"--map-user={number}", f"--map-group={group}"]
    rights = ("--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all")
    return ["/usr/bin/setpriv", f"--reuid={number}", f"--regid={group}", *rights]


def obstacle() -> str:
    """Say why no such root can be made here; "" if it can."""
    for tool in ("unshare", "setpriv", "pivot_root"):
        if shutil.which(tool) is None and not Path("/sbin", tool).exists():
            return f"{tool} is missing (Debian: util-linux)"
    space = ["unshare", "--mount", "--pid", "--fork"]
    if os.geteuid() != 0:
        space.append("--map-root-user")
    tried = subprocess.run(
        [*space, "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tried.stderr.strip()
