"""`make helm-check`: the chart linted, rendered, held against schemas; and each check broken."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.cli.commands.dashboard import DRAIN_S as DASHBOARD_DRAIN_S
from tests.conftest import CI
from tests.e2e.conftest import ROOT
from tests.helm.manifests import Chart, Manifest
from tests.helm.tools import KUBERNETES, Missing, tools

pytestmark = [pytest.mark.shipped, pytest.mark.slow, pytest.mark.timeout(900)]
CASES = sorted((ROOT / "helm/ci").glob("*.yaml"))
MINIMAL = ROOT / "helm/ci/minimal.yaml"
SECURED = ROOT / "helm/ci/secured.yaml"
EVERYTHING = ROOT / "helm/ci/everything.yaml"


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart of this tree."""
    try:
        return Chart(ROOT / "helm", tools())
    except Missing as missing:
        (pytest.fail if CI else pytest.skip)(str(missing))


@pytest.fixture
def copied(chart: Chart, tmp_path: Path) -> Chart:
    """A copy of the chart, to be broken."""
    shutil.copytree(chart.path, tmp_path / "helm")
    return Chart(tmp_path / "helm", chart.tools)


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the pods' specifications, each with the name of what makes it."""
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    return {own["name"]: own.get("value", own.get("valueFrom")) for own in container["env"]}


# --- the checks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_lint_finds_nothing(chart: Chart, values: Path) -> None:
    done = chart.lint(values)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_what_is_rendered_fits_the_schemas(chart: Chart, values: Path, version: str) -> None:
    manifests = chart.rendered(values, version=version)
    assert chart.complaints(manifests, version) == []
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names)), names


def test_everything_is_rendered_somewhere(chart: Chart) -> None:
    kinds = {one["kind"] for values in CASES for one in chart.rendered(values)}
    assert kinds >= {
        "Deployment", "Job", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "Service",
        "PersistentVolumeClaim", "ScaledObject", "TriggerAuthentication", "ServiceMonitor",
        "PrometheusRule", "Ingress",
    }  # fmt: skip


# --- each of them broken once on purpose --------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("agents.procurement-lead.replicas=two", "replicas"),
        ("agents.procurement-lead.replica=2", "replica"),
        ("agents.Lead.module=lead:agent", "Lead"),
        ("kafka.protocol=TLS", "protocol"),
        ("kafka.bootstrap=", "bootstrap"),
        ("monitoring.rules.enabled=maybe", "enabled"),
        ("image.digest=latest", "digest"),
        ("kafka.protocol=SASL_SSL", "so a user is needed"),
        ("dashboard.enabled=true", "everybody needs a token"),
    ],
)
def test_values_that_cannot_be_are_refused(chart: Chart, given: str, said: str) -> None:
    done = chart.template(MINIMAL, "--set", given)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_lint_refuses_a_template_that_is_broken(copied: Chart) -> None:
    (copied.path / "templates/broken.yaml").write_text("{{ .Values.mesh.name.first }}")
    assert copied.lint(MINIMAL).returncode == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("_helpers.tpl", "revisionHistoryLimit: 5", "historyLimit: 5", "historyLimit"),
        ("_helpers.tpl", "failureThreshold: 60", "failureThreshold: often", "often"),
        ("_helpers.tpl", "policy/v1", "policy/v1beta1", "there is no schema of policy/v1beta1"),
        ("_scaling.tpl", "minReplicaCount:", "minReplicas:", "minReplicas"),
        ("_scaling.tpl", "parameter: cert,", "argument: cert,", "argument"),
        ("monitoring.yaml", "path: /metrics,", "url: /metrics,", "url"),
        ("networkpolicies.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: Both", "Both"),
    ],
)
def test_the_schemas_refuse_a_wrong_field(
    copied: Chart, file: str, old: str, new: str, said: str
) -> None:
    template = copied.path / "templates" / file
    text = template.read_text()
    assert old in text
    template.write_text(text.replace(old, new))
    for version in KUBERNETES:
        complaints = copied.complaints(copied.rendered(EVERYTHING), version)
        assert any(said in complaint for complaint in complaints), complaints


# --- what no schema can say ---------------------------------------------------------------------


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_every_pod_is_restricted_and_has_no_token(chart: Chart, values: Path) -> None:
    """By https://kubernetes.io/docs/concepts/security/pod-security-standards, "restricted"."""
    manifests = chart.rendered(values)
    found = dict(pods(manifests))
    assert len(found) >= 3
    for name, pod in found.items():
        assert pod["automountServiceAccountToken"] is False, name
        own = pod["securityContext"]
        assert own["runAsNonRoot"] is True
        assert own["runAsUser"] > 0
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
        for volume in pod["volumes"]:
            assert volume.keys() <= {"name", "emptyDir", "secret", "persistentVolumeClaim"}
    accounts = [one for one in manifests if one["kind"] == "ServiceAccount"]
    assert {one["metadata"]["name"] for one in accounts} >= {
        pod["serviceAccountName"]
        for pod in found.values()
        if pod["serviceAccountName"] != "default"
    }
    assert all(one["automountServiceAccountToken"] is False for one in accounts)


@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem)
def test_what_serves_is_probed_and_has_time_to_drain(chart: Chart, values: Path) -> None:
    for one in chart.rendered(values):
        if one["kind"] != "Deployment":
            continue
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        paths = {probe: container[probe]["httpGet"]["path"] for probe in
                 ("startupProbe", "livenessProbe", "readinessProbe")}  # fmt: skip
        assert list(paths.values()) == ["/readyz", "/healthz", "/readyz"]
        args = container["args"]
        drain = args[args.index("--drain") + 1] if "--drain" in args else DASHBOARD_DRAIN_S
        assert pod["terminationGracePeriodSeconds"] > float(drain)


def test_each_agent_has_its_own_user(chart: Chart) -> None:
    found = dict(pods(chart.rendered(SECURED)))
    users = {name: environment(pod).get("MESH_SASL_USERNAME") for name, pod in found.items()}
    assert users == {
        "try-parley-procurement-lead": {
            "secretKeyRef": {"name": "procurement-lead", "key": "username"}
        },
        "try-parley-procurement-finance": "procurement-agents",
        "try-parley-processor": "procurement-processor",
        "try-parley-topics": "procurement-admin",
    }
    for name, pod in found.items():
        secrets = [own["secret"]["secretName"] for own in pod["volumes"] if "secret" in own]
        assert secrets[0] == "cluster-cluster-ca-cert"
        assert len(secrets) == 2, name
        given = environment(pod)
        assert given["MESH_SASL_PASSWORD_FILE"] == "/etc/parley/credentials/password"
        assert not [value for value in given.values() if value == "password"]


def test_the_mesh_understands_what_the_pods_are_given(chart: Chart) -> None:
    """Every MESH_ variable is one that mesh/config.py reads, with a value that it takes."""
    from mesh.config import load

    for values in CASES:
        for name, pod in pods(chart.rendered(values)):
            given = {key: own for key, own in environment(pod).items() if isinstance(own, str)}
            given.pop("MESH_SASL_PASSWORD_FILE", None)
            config = load({}, given | {"HOME": "/nowhere"}, joins=False)
            assert config.bootstrap == given["MESH_BOOTSTRAP"], name
    large = chart.rendered(MINIMAL, "--set", "settings.task_timeout_ms=12000000")
    (lead,) = (pod for name, pod in pods(large) if name.endswith("-lead"))
    assert environment(lead)["MESH_SET_TASK_TIMEOUT_MS"] == "12000000"


def test_the_topics_job_knows_every_agent(chart: Chart) -> None:
    (job,) = (one for one in chart.rendered(EVERYTHING) if one["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        "topics", "apply", "--pool", "approver", "--capability", "order.approve",
        "--pool", "sourcing-eu", "--capability", "procurement.quote",
        "--capability", "procurement.order", "--replies", "billing",
    ]  # fmt: skip


def test_an_agent_that_scales_has_no_fixed_number(chart: Chart) -> None:
    manifests = chart.rendered(EVERYTHING)
    (scaled,) = (one for one in manifests if one["kind"] == "ScaledObject")
    name = scaled["spec"]["scaleTargetRef"]["name"]
    numbers = {one["metadata"]["name"]: one["spec"].get("replicas") for one in manifests
               if one["kind"] == "Deployment"}  # fmt: skip
    assert numbers.pop(name) is None
    others = {"approver": 1, "dashboard": 1, "processor": 2}
    assert numbers == {f"try-parley-{name}": count for name, count in others.items()}
    topics = [own["metadata"]["topic"] for own in scaled["spec"]["triggers"]]
    assert topics == ["orders.tasks.procurement.quote", "orders.tasks.procurement.order"]
    assert scaled["spec"]["minReplicaCount"] == 1


def test_nothing_is_let_in_that_was_not_asked_for(chart: Chart) -> None:
    (policy,) = (one for one in chart.rendered(MINIMAL) if one["kind"] == "NetworkPolicy")
    assert policy["spec"]["ingress"] == []
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ports = [own["port"] for rule in policy["spec"]["egress"] for own in rule["ports"]]
    assert ports == [53, 53, 9092, 9093, 9094]
    policies = [one for one in chart.rendered(EVERYTHING) if one["kind"] == "NetworkPolicy"]
    labels = [policy["spec"]["podSelector"]["matchLabels"] for policy in policies]
    assert len(labels) == 3
    every = min(labels, key=len)
    assert all(every.items() <= own.items() for own in labels)


def test_every_rule_and_dashboard_is_in_it(chart: Chart, copied: Chart) -> None:
    (copied.path / "files/dashboards/try.json").write_text('{"title": "{{ not Helm\'s }}"}\n')
    manifests = copied.rendered(EVERYTHING)
    maps = {key: text for one in manifests if one["kind"] == "ConfigMap"
            for key, text in one["data"].items()}  # fmt: skip
    assert maps["try.json"] == '{"title": "{{ not Helm\'s }}"}'
    rules = [one["spec"] for one in manifests if one["kind"] == "PrometheusRule"]
    files = sorted((ROOT / "helm/files/rules").glob("*.yaml"))
    assert files
    assert rules == [yaml.safe_load(path.read_text()) for path in files]


def test_the_notes_help(copied: Chart) -> None:
    # Helm shows notes where there is a cluster alone; so they are rendered as a manifest.
    notes = (copied.path / "templates/NOTES.txt").read_text()
    manifest = (
        f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}notes: {{{{ include "notes" . | quote }}}}'
    )
    (copied.path / "templates/notes.yaml").write_text(manifest)

    def told(values: Path) -> str:
        return next(str(one["notes"]) for one in copied.rendered(values) if "notes" in one)

    inside = "exec deploy/try-parley-procurement-lead -- mesh doctor"
    for part in (inside, "in the clear", "No volume is shared", "one agent and the processor"):
        assert part in told(MINIMAL)
    for part in ("in the clear", "No volume is shared", "Prometheus is kept out"):
        assert part not in told(EVERYTHING)
