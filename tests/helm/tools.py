"""What the chart is checked with, fetched once into the user's cache directory.

Helm is built from its source by Go, whose module proxy and checksum database say that it is the
pinned one. The schemas of Kubernetes are a Python package (requirements/kubernetes.txt, by hash),
those of KEDA and of Prometheus' operator the CRDs in their own Go modules, by the sum named here.
`python -m tests.helm.tools` says where they are.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.transport.broker_jars import cache_directory
from tests.e2e.conftest import ROOT

HELM = "v3.21.4"
HELM_MODULE = "helm.sh/helm/v3/cmd/helm"
KUBERNETES = ("1.30.0", "1.37.0")
"""The oldest that the chart takes, and the newest whose schemas there are."""
CRDS = {
    "github.com/kedacore/keda/v2@v2.21.0": (
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_*.yaml",),
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/*_servicemonitors.yaml",
            "example/prometheus-operator-crd/*_prometheusrules.yaml",
        ),
    ),
}


class Missing(Exception):
    """What is needed is not here and cannot be fetched; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Where they are: a program, a folder of schemas for each version, a folder of CRDs."""

    helm: Path
    schemas: dict[str, Path]
    crds: Path


def tools() -> Tools:
    """Return them, fetched if need be.

    Raises:
        Missing: There is no Go, or something could not be fetched.
    """
    cache = cache_directory(os.environ)
    helm = _once(cache / f"helm-{HELM}", _build_helm)
    schemas = _once(cache / f"kubernetes-schemas-{'-'.join(KUBERNETES)}", _unpack_schemas)
    crds = _once(cache / f"crds-{'-'.join(name.rpartition('@')[2] for name in CRDS)}", _find_crds)
    return Tools(
        helm=helm / "helm",
        schemas={version: schemas / version for version in KUBERNETES},
        crds=crds,
    )


def _once(place: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made whole or not at all; others wait for who makes it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f"{place.name}.lock")):
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=place.parent, prefix="fetching-") as scratch:
                made = Path(scratch) / "made"
                made.mkdir()
                make(made)
                made.rename(place)
    return place


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build_helm(place: Path) -> None:
    print(f"building helm {HELM} with Go: some minutes, once", file=sys.stderr, flush=True)
    _go("install", f"{HELM_MODULE}@{HELM}", GOBIN=str(place))


def _unpack_schemas(place: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory() as scratch:
        install = [str(uv), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        _run([*install, "--target", scratch, "-r", str(ROOT / "requirements/kubernetes.txt")])
        for version in KUBERNETES:
            name = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
            shutil.copytree(Path(scratch, name), place / version)


def _find_crds(place: Path) -> None:
    for module, (known, patterns) in CRDS.items():
        told = json.loads(_go("mod", "download", "-json", module))
        if told["Sum"] != known:
            raise Missing(f"{module} has the sum {told['Sum']}, not {known}")
        for pattern in patterns:
            for path in Path(told["Dir"]).glob(pattern):
                shutil.copyfile(path, place / path.name)


def _go(*words: str, **environ: str) -> str:
    go = shutil.which("go")
    if go is None:
        raise Missing(
            "Go is needed once, to build Helm, and there is no `go` on PATH; install 1.26 or newer "
            "(https://go.dev, or requirements/go.txt, as .ci/run does)"
        )
    return _run([go, *words], **environ)


def _run(words: list[str], **environ: str) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | environ, cwd="/"
    )
    if done.returncode:
        raise Missing(f"{' '.join(words[:4])}: {done.stderr.strip()[-800:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        print(tools())
    except Missing as missing:
        sys.exit(f"helm-check: {missing}")
