"""What Helm renders, and what is wrong with it by the schemas of Kubernetes and of operators."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.helm.tools import Tools

Manifest = dict[str, Any]


class Chart:
    """A chart and the program that renders it."""

    def __init__(self, path: Path, tools: Tools) -> None:
        self.path = path
        self.tools = tools

    def helm(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Helm."""
        command = [str(self.tools.helm), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def lint(self, values: Path) -> subprocess.CompletedProcess[str]:
        """Run `helm lint`."""
        version = next(iter(self.tools.schemas))
        words = ("lint", str(self.path), "--strict", "--kube-version", version)
        return self.helm(*words, "--values", str(values))

    def template(
        self, values: Path, *given: str, version: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run `helm template`, for a version of Kubernetes."""
        version = version or next(iter(self.tools.schemas))
        words = ("template", "try", str(self.path), "--kube-version", version, "--values")
        return self.helm(*words, str(values), *given)

    def rendered(self, values: Path, *given: str, version: str = "") -> list[Manifest]:
        """Return what it renders."""
        done = self.template(values, *given, version=version)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    def complaints(self, manifests: list[Manifest], version: str) -> list[str]:
        """Return what the schemas say against manifests; what no schema is known of is one, too."""
        found = []
        for manifest in manifests:
            name = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
            validator = self._validator(manifest, version)
            if validator is None:
                found.append(f"{name}: there is no schema of {manifest.get('apiVersion')}")
                continue
            for error in validator.iter_errors(manifest):
                worst = jsonschema.exceptions.best_match([error]) or error
                found.append(f"{name}: {worst.json_path}: {worst.message[:200]}")
        return found

    def _validator(self, manifest: Manifest, version: str) -> jsonschema.Draft7Validator | None:
        group, _, last = str(manifest.get("apiVersion")).rpartition("/")
        kind = str(manifest.get("kind")).lower()
        own = [kind, *([group.removesuffix(".k8s.io").partition(".")[0]] if group else []), last]
        path = self.tools.schemas[version] / f"{'-'.join(own)}.json"
        if path.is_file():
            return jsonschema.Draft7Validator(
                json.loads(path.read_text("utf-8")), registry=_definitions(path.parent)
            )
        schema = _custom(self.tools.crds).get((group, last, str(manifest.get("kind"))))
        return jsonschema.Draft7Validator(schema) if schema else None


@cache
def _definitions(folder: Path) -> Registry[Any]:
    """Return what the schemas of one version refer to."""
    name = "_definitions.json"
    contents = json.loads((folder / name).read_text("utf-8"))
    made: Registry[Any] = Registry().with_resource(name, DRAFT7.create_resource(contents))
    return made


@cache
def _custom(folder: Path) -> dict[tuple[str, str, str], Any]:
    """Return the schema of each custom resource, by group, version and kind."""
    found = {}
    for path in folder.glob("*.yaml"):
        spec = yaml.safe_load(path.read_text("utf-8"))["spec"]
        for version in spec["versions"]:
            key = (spec["group"], version["name"], spec["names"]["kind"])
            found[key] = _strict(version["schema"]["openAPIV3Schema"], top=True)
    return found


def _strict(schema: Any, *, top: bool = False) -> Any:
    """Return a CRD's schema that refuses what it does not know, as the API server would drop it."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(value) for name, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    if "properties" in schema and isinstance(schema["properties"], dict):
        made["properties"] = {name: _strict(own) for name, own in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if top:
        made["properties"] |= {"metadata": {"type": "object"}}
    return made
