"""`make wheel-test`: what was built, installed elsewhere, must work without the tree.

Two environments in a temporary directory: one with the pinned runtime requirements alone, where
every module is imported and the command starts; then the test tools beside them, and the smoke
tests, copied without `mesh/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
PAGE = ("index.html", "app.js", "style.css", "vendor/preact.mjs")
SMOKE = tuple(
    f"unit/{name}" for name in ("wire", "telling", "runtime", "testing", "cli", "dashboard")
)
"""What a wheel can lack, files and modules, shows here; the rest is tested in the tree."""
IMPORT_ALL = """
import importlib, pkgutil, mesh
names = [m.name for m in pkgutil.walk_packages(mesh.__path__, "mesh.") if m.name[-8:] != "__main__"]
for name in names:
    importlib.import_module(name)
print(len(names), "modules imported from", mesh.__path__[0])
"""


def main(wheel: Path) -> int:
    check_contents(wheel)
    with tempfile.TemporaryDirectory(prefix="parley-wheel-") as name:
        place = Path(name)
        python = place / ".venv/bin/python"
        run(place, UV, "venv", "--quiet", "--python", sys.executable, ".venv")
        install(place, wheel, "runtime.txt")
        run(place, python, "-W", "error::SyntaxWarning", "-c", IMPORT_ALL)
        if (ROOT / "mesh/cli/main.py").exists():
            run(place, python.with_name("mesh"), "--help", quiet=True)
        install(place, wheel, "dev.txt")
        targets = copy_tests(place)
        tests: list[str | Path] = [python, "-m", "pytest", "-q", "-m", "not broker and not slow"]
        run(place, *tests, *targets, MESH_TEST_INSTALLED="1")
    print(f"{wheel.name}: works from another directory")
    return 0


def check_contents(wheel: Path) -> None:
    """The wheel holds mesh, every schema and the page, and nothing of another import name."""
    names = set(zipfile.ZipFile(wheel).namelist())
    foreign = {name for name in names if not name.startswith(("mesh/", "parley_mesh-"))}
    schemas = {f"mesh/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.avsc")}
    page = {f"mesh/dashboard/page/{own}" for own in PAGE}
    missing = (schemas | page | {"mesh/__init__.py", "mesh/py.typed"}) - names
    if foreign or missing:
        sys.exit(f"{wheel.name}: should not hold {sorted(foreign)}, lacks {sorted(missing)}")


def install(place: Path, wheel: Path, requirements: str) -> None:
    python = ("--python", str(place / ".venv/bin/python"), "--quiet")
    run(place, UV, "pip", "sync", *python, "--require-hashes", ROOT / "requirements" / requirements)
    run(place, UV, "pip", "install", *python, "--no-deps", wheel)
    run(place, UV, "pip", "check", *python)


def copy_tests(place: Path) -> list[str]:
    """Copy the smoke tests and the page that one reads; example agents and bench need a clone."""
    shutil.copy(ROOT / "pyproject.toml", place)
    leave = shutil.ignore_patterns("agents", "bench", "__pycache__")
    shutil.copytree(ROOT / "tests", place / "tests", ignore=leave)
    (place / "docs").mkdir()
    shutil.copy(ROOT / "docs/cli.md", place / "docs")
    names = (*SMOKE, "test_exports.py", "test_schemas.py")
    return [f"tests/{name}" for name in names if (place / "tests" / name).exists()]


def run(place: Path, *command: str | Path, quiet: bool = False, **environment: str) -> None:
    """Run or leave with the command's exit code."""
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    words = [str(word) for word in command]
    out = subprocess.DEVNULL if quiet else None
    done = subprocess.run(words, cwd=place, env=env | environment, stdout=out, check=False)
    if done.returncode:
        sys.exit(f"wheel test: failed with {done.returncode}: {' '.join(words)[:120]}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
