"""What is public is listed, importable and documented, and importing it does nothing heavy."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import mesh

MODULES = sorted(module.name for module in pkgutil.walk_packages(mesh.__path__, "mesh."))
PUBLIC = ["mesh", *({"mesh.testing"} & set(MODULES))]
# What an agent's import must not pay for; each is loaded by the command or process that needs it.
HEAVY = ("aiohttp", "faust", "fastavro", "prometheus_client", "rich", "typer", "watchfiles")


def undeclared(module: ModuleType) -> list[str]:
    """Return what a package defines or passes on of ours without listing it in `__all__`."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name not in module.__all__
        and getattr(value, "__module__", "").startswith("mesh")
    )


def undocumented(module: ModuleType) -> list[str]:
    """Return listed classes and functions that say nothing of themselves."""
    values = {name: getattr(module, name) for name in module.__all__}
    return sorted(
        name
        for name, value in values.items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and not value.__doc__
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_complete_and_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert [missing for missing in module.__all__ if not hasattr(module, missing)] == []
    assert undeclared(module) == []
    assert undocumented(module) == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported(name: str) -> None:
    if name.endswith("__main__"):
        assert importlib.util.find_spec(name) is not None
    else:
        assert importlib.import_module(name).__doc__, f"{name} has no docstring"


def test_importing_mesh_loads_nothing_heavy() -> None:
    code = f"import mesh, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
