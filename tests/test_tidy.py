"""The house rules that no linter knows. Each yields offences, `path:line: what`.

They take a root, so that `tests/test_guards.py` can break each of them in a copy.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
Check = Callable[[Path], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)

EVERYWHERE = ("mesh/", "agents/", "bench/", "tests/", "docs/")
MAX_FUNCTION_LINES = 70  # a screen
MAX_MODULE_LINES = 600

# The core imports the standard library only; what of it, the contracts in pyproject.toml say.
CORE = ("mesh/core/", "mesh/errors.py")
# Its tests are plain calls: no mock, no event loop, no clock, no chance.
CORE_TESTS = ("tests/unit/core/", "tests/property/")
NOT_IN_CORE_TESTS = {"asyncio", "datetime", "random", "time", "unittest"}
ENVIRONMENT = "mesh/config.py"
# Modules without behaviour of their own, and where they are tested instead.
TESTED_ELSEWHERE = {
    "mesh/ports.py": "tests/contract",
    "mesh/cli/commands/": "tests/e2e",  # a command is its wiring: run as a person runs it
    "mesh/testing/": "tests/simulation",  # what it is for is what tests it
}
# Files that a tool or a third party wrote.
NOT_OURS = ("agents/procurement/samples/", "tests/data/", "LICENSE")

SUPPRESSION = re.compile(r"#\s*(type:\s*ignore|noqa|pragma:\s*no\s*cover)")
JUSTIFIED = re.compile(
    r"#\s(type: ignore\[[a-z-]+(, ?[a-z-]+)*\]"
    r"|noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|pragma: no cover)\s+[#-]\s\S+"
)
# Written so that this file does not accuse itself.
FOREIGN = [
    re.compile(r"(?<![\w.$}/-])/(?:[r]oot|[w]ork|[h]ome/\w|[U]sers/\w)(?:/|\b)"),
    re.compile(r"--(?:extra-)?[i]ndex-url\b|--[f]ind-links\b"),
    re.compile(r"[p]ypi\.org|[f]iles\.pythonhosted|[r]epo1?\.maven|[r]egistry\.npmjs"),
    re.compile(r"https?://[^\s/]*(?:[a]rtifactory|[n]exus|[d]evpi)"),
]


def tracked(root: Path, suffixes: tuple[str, ...], names: tuple[str, ...] = ("",)) -> Iterator[str]:
    """Yield the paths that git tracks or would track; outside a repository, every path."""
    command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found = sorted(set(done.stdout.splitlines()))
    else:
        found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))
    for name in found:
        path = root / name
        if name.startswith(names) and path.suffix in suffixes and path.is_file():
            yield name


def parsed(root: Path, names: tuple[str, ...] = EVERYWHERE) -> Iterator[tuple[str, ast.Module]]:
    for name in tracked(root, (".py",), names):
        yield name, ast.parse((root / name).read_text("utf-8"), name)


def nodes(root: Path, names: tuple[str, ...], *kinds: type[Node]) -> Iterator[tuple[str, Node]]:
    """Yield every syntax node of these kinds, with its place `path:line`."""
    for name, tree in parsed(root, names):
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield f"{name}:{getattr(node, 'lineno', 1)}", node


def functions(root: Path, names: tuple[str, ...] = EVERYWHERE) -> Iterator[tuple[str, Function]]:
    yield from nodes(root, names, ast.FunctionDef)
    yield from nodes(root, names, ast.AsyncFunctionDef)


def imports(root: Path, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for place, plain in nodes(root, names, ast.Import):
        yield from ((place, alias.name) for alias in plain.names)
    for place, node in nodes(root, names, ast.ImportFrom):
        yield place, node.module or ""


def module_sizes(root: Path) -> Iterator[str]:
    """Modules stay small."""
    for name in tracked(root, (".py",), EVERYWHERE):
        if (lines := len((root / name).read_text("utf-8").splitlines())) > MAX_MODULE_LINES:
            yield f"{name}:1: {lines} lines, at most {MAX_MODULE_LINES}"


def function_sizes(root: Path) -> Iterator[str]:
    """Functions fit on a screen."""
    for place, node in functions(root):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield f"{place}: {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}"


def value_objects(root: Path) -> Iterator[str]:
    """Public dataclasses are frozen and keyword-only, or their docstring begins with "Mutable"."""
    for place, node in nodes(root, ("mesh/", "agents/"), ast.ClassDef):
        if node.name.startswith("_") or (ast.get_docstring(node) or "").startswith("Mutable"):
            continue
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(call).split(".")[-1] != "dataclass":
                continue
            given = ast.unparse(decorator)
            missing = [word for word in ("frozen", "kw_only") if f"{word}=True" not in given]
            if missing:
                yield f"{place}: dataclass {node.name} is not {' and not '.join(missing)}"


def core_signatures(root: Path) -> Iterator[str]:
    """No `Any` in a signature of the core."""
    for place, node in functions(root, CORE):
        signature = f"{ast.unparse(node.args)} -> {ast.unparse(node.returns or ast.Constant(0))}"
        if re.search(r"\bAny\b", signature):
            yield f"{place}: Any in the signature of {node.name}"


def core_imports(root: Path) -> Iterator[str]:
    """The core imports itself, the errors, and the standard library."""
    for place, module in imports(root, CORE):
        ours = re.match(r"mesh\.(core|errors)\b", module)
        if not ours and module.split(".")[0] not in sys.stdlib_module_names:
            yield f"{place}: the core imports {module}"


def core_tests(root: Path) -> Iterator[str]:
    """The core's tests use no mock, no event loop, no clock."""
    for place, module in imports(root, CORE_TESTS):
        if module.split(".")[0] in NOT_IN_CORE_TESTS:
            yield f"{place}: a test of the core imports {module}"


def environment(root: Path) -> Iterator[str]:
    """The environment is read in one place."""
    names = {"environ", "environb", "getenv"}
    read = [place for place, node in nodes(root, ("mesh/",), ast.Attribute) if node.attr in names]
    for place, node in nodes(root, ("mesh/",), ast.ImportFrom):
        if node.module == "os" and names & {alias.name for alias in node.names}:
            read.append(place)
    for place in read:
        if not place.startswith(ENVIRONMENT):
            yield f"{place}: reads the environment; settings come from {ENVIRONMENT}"


def sleeping_tests(root: Path) -> Iterator[str]:
    """No unit test sleeps and hopes; `asyncio.sleep(0)` only lets others run."""
    for place, node in nodes(
        root, ("tests/unit/", "tests/property/", "tests/scenarios/"), ast.Call
    ):
        call = ast.unparse(node)
        if call.startswith(("time.sleep(", "asyncio.sleep(")) and call != "asyncio.sleep(0)":
            yield f"{place}: a test that sleeps: {call}"


def asserting_tests(root: Path) -> Iterator[str]:
    """Every test asserts, expects an exception, or calls a helper that is named for it."""
    for place, node in functions(root, ("tests/",)):
        if node.name.startswith("test_") and not any(_asserts(inner) for inner in ast.walk(node)):
            yield f"{place}: {node.name} asserts nothing"


def _asserts(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Assert)
    called = ast.unparse(node.func).split(".")[-1]
    named = called.startswith(("assert_", "check_", "crash_at_", "run_state_machine"))
    return named or called in {"raises", "warns", "fail"}


def suppressions(root: Path) -> Iterator[str]:
    """Each `type: ignore`, `noqa` and `no cover` has a code and, after ` # ` or ` - `, a reason."""
    for name in tracked(root, (".py",), EVERYWHERE):
        if name in {"tests/test_tidy.py", "tests/test_guards.py"}:
            continue  # they speak of suppressions
        for number, line in enumerate((root / name).read_text("utf-8").splitlines(), 1):
            if SUPPRESSION.search(line) and not JUSTIFIED.search(line):
                yield f"{name}:{number}: {line.strip()[:80]}"


def mirrored_tests(root: Path) -> Iterator[str]:
    """Each module mesh/x/y.py has its tests/unit/x/test_y.py."""
    for name in tracked(root, (".py",), ("mesh/",)):
        path = Path(name)
        elsewhere = {name, f"{path.parent.as_posix()}/"} & TESTED_ELSEWHERE.keys()
        if path.stem.startswith("__") or any(
            (root / TESTED_ELSEWHERE[e]).exists() for e in elsewhere
        ):
            continue
        twin = Path("tests/unit") / path.relative_to("mesh").with_name(f"test_{path.name}")
        if not (root / twin).is_file():
            yield f"{name}:1: has no {twin}"


def foreign_addresses(root: Path) -> Iterator[str]:
    """No path of one machine and no address of a package registry in a tracked file."""
    suffixes = ("", ".avsc", ".json", ".md", ".py", ".toml", ".txt", ".xml", ".yaml", ".yml")
    for name in tracked(root, suffixes):
        if name.startswith(NOT_OURS):
            continue
        for number, line in enumerate((root / name).read_text("utf-8", "replace").splitlines(), 1):
            if any(pattern.search(line) for pattern in FOREIGN):
                yield f"{name}:{number}: {line.strip()[:80]}"


OWN_FILE = {"bootstrap", "build", "go", "kubernetes"}
"""Dependency groups with a file of requirements that is their own."""


def pins(root: Path) -> Iterator[str]:
    """Requirements are pinned with hashes, hold no address, and satisfy the project file."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    runtime = [Requirement(line) for line in project["project"]["dependencies"]]
    groups = {
        name: [Requirement(line) for line in group if isinstance(line, str)]
        for name, group in project["dependency-groups"].items()
    }
    wants = {f"{name}.txt": groups[name] for name in OWN_FILE & groups.keys()}
    wants["runtime.txt"] = wants["image.txt"] = runtime
    together = [group for name, group in groups.items() if name not in OWN_FILE - {"build"}]
    wants["dev.txt"] = runtime + [want for group in together for want in group]
    for name, wanted in wants.items():
        path = f"requirements/{name}"
        text = (root / path).read_text("utf-8").replace("\\\n", "")
        found: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            pin = re.match(r"([a-z0-9-]+)==(\S+)(?: ; [^#]+?)?(?:\s+--hash=sha256:\w{64})+$", line)
            if pin:
                found[pin[1]] = pin[2]
            elif line.strip() and not line.lstrip().startswith("#"):
                yield f"{path}:{number}: not pinned with a hash: {line[:60]}"
        for want in wanted:
            if not want.specifier.contains(found.get(want.name, "0")):
                yield f"{path}:1: {want} is not satisfied; run `make requirements`"


def scenarios(root: Path) -> Iterator[str]:
    """Every golden transcript is collected by the runner under its own name."""
    stems = sorted(path.stem for path in (root / "tests/scenarios").glob("*.txt"))
    if not stems:
        return
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/scenarios"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    for stem in stems:
        if not re.search(rf"[\[/-]{re.escape(stem)}[\].-]", done.stdout):
            yield f"tests/scenarios/{stem}.txt:1: no test runs it"


CHECKS: list[Check] = [
    module_sizes,
    function_sizes,
    value_objects,
    core_signatures,
    core_imports,
    core_tests,
    environment,
    sleeping_tests,
    asserting_tests,
    suppressions,
    mirrored_tests,
    foreign_addresses,
    pins,
    scenarios,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_house_rule(check: Check) -> None:
    offences = list(check(ROOT))
    assert not offences, "\n".join([check.__doc__ or "", *offences])
