"""What `examples/cluster` holds is what its own tools take, and what our commands understand."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from vidsearch.cli import main

yaml = pytest.importorskip("yaml")
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).resolve().parents[2]
CLUSTER = REPO / "examples" / "cluster"
BIN = Path(sys.executable).parent
RAY_YAML = ("aws.yaml", "gcp.yaml")
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")
with_ray = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent"),
]


def loaded(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def run(*command: object) -> None:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# --- each file by its own tool -------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfiles_by_hadolint(name: str) -> None:
    run(BIN / "hadolint", "--no-color", "--failure-threshold=style", CLUSTER / name)


def test_what_dockerfiles_copy_is_in_the_checkout_and_is_what_the_package_is_built_of() -> None:
    packages = {each.name for each in REPO.iterdir() if (each / "__init__.py").is_file()}
    for name in DOCKERFILES:
        lines = re.findall(r"^COPY (.*) \S+$", (CLUSTER / name).read_text(), re.MULTILINE)
        copied = {each for line in lines for each in line.split()}
        assert all((REPO / each).exists() for each in copied)
        assert packages - {"tests", "benchmarks"} <= copied
        project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
        assert {"pyproject.toml", project["readme"], *project["license-files"]} <= copied


def test_the_slurm_script_by_bash_and_shellcheck() -> None:
    run("bash", "-n", CLUSTER / "slurm.sh")
    run(BIN / "shellcheck", "--severity=style", CLUSTER / "slurm.sh")


def test_compose_by_the_schema_of_the_compose_specification() -> None:
    run(
        BIN / "check-jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        CLUSTER / "compose.yaml",
    )


@pytest.mark.parametrize("group", ["head", "cpu", "gpu"])
def test_pods_of_kuberay_by_the_schema_of_kubernetes(group: str) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate")
    cluster = loaded("kuberay.yaml")["spec"]["rayClusterSpec"]
    groups = {"head": cluster["headGroupSpec"]}
    groups |= {each["groupName"]: each for each in cluster["workerGroupSpecs"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": group}}
    pod["spec"] = groups[group]["template"]["spec"]
    kubernetes.validate(pod, kubernetes.latest_version(), strict=True)
    pod["spec"]["containers"][0]["volumeMount"] = []  # what a slip of the pen would be
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(pod, kubernetes.latest_version(), strict=True)


# The fields of KubeRay's v1 types that we use, by its API reference; KubeRay's own schema is in no
# package that could be asked. A field that is not here is a slip, or a line to add.
JOB = [
    "entrypoint",
    "submissionMode",
    "backoffLimit",
    "submitterConfig",
    "shutdownAfterJobFinishes",
    "ttlSecondsAfterFinished",
    "rayClusterSpec",
]
CLUSTER_SPEC = [
    "rayVersion",
    "authOptions",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "headGroupSpec",
    "workerGroupSpecs",
]
HEAD = ["rayStartParams", "template"]
WORKERS = [*HEAD, "groupName", "replicas", "minReplicas", "maxReplicas"]


def test_the_ray_job_of_kuberay_has_fields_that_kuberay_knows() -> None:
    job = loaded("kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert sorted(job["spec"]) == sorted(JOB)
    cluster = job["spec"]["rayClusterSpec"]
    assert sorted(cluster) == sorted(CLUSTER_SPEC)
    assert sorted(cluster["headGroupSpec"]) == sorted(HEAD)
    for group in cluster["workerGroupSpecs"]:
        assert sorted(group) == sorted(WORKERS)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        # The object store must fit into the shared memory that it lies in.
        (shared,) = (v["emptyDir"]["sizeLimit"] for v in group["template"]["spec"]["volumes"])
        assert int(group["rayStartParams"]["object-store-memory"]) < int(shared[:-2]) * 2**30


# --- Ray's own checks ----------------------------------------------------------------------------


class TestByRay:
    pytestmark = with_ray

    @pytest.mark.parametrize("name", RAY_YAML)
    def test_the_cluster_launcher_takes_the_file(self, name: str) -> None:
        import jsonschema
        from ray.autoscaler._private.util import prepare_config, validate_config

        prepared = prepare_config(loaded(name))
        validate_config(prepared)
        types = prepared["available_node_types"]
        assert types[prepared["head_node_type"]]["max_workers"] == 0
        assert prepared["max_workers"] == sum(each["max_workers"] for each in types.values())
        with pytest.raises(jsonschema.ValidationError):
            validate_config({**prepared, "max_worker": 3})

    def test_the_autoscaler_understands_kuberays_groups(self) -> None:
        from ray.autoscaler._private.kuberay.autoscaling_config import (
            _derive_autoscaling_config_from_ray_cr as derived,
        )

        spec = loaded("kuberay.yaml")["spec"]["rayClusterSpec"]
        config = derived({"metadata": {"name": "vidsearch", "namespace": "default"}, "spec": spec})
        types = config["available_node_types"]
        assert types["headgroup"]["resources"]["CPU"] == 0
        assert types["cpu"]["resources"]["CPU"] == 8
        assert types["gpu"]["resources"]["GPU"] == 1
        assert (types["cpu"]["min_workers"], types["cpu"]["max_workers"]) == (1, 20)

    @pytest.mark.parametrize("name", [*RAY_YAML, "compose.yaml", "slurm.sh", "kuberay.yaml"])
    def test_ray_knows_the_options_that_it_is_started_with(self, name: str) -> None:
        from ray.scripts.scripts import start

        heads = []
        for words in starts(name):
            heads.append(start.make_context("start", words).params["head"])
        assert len(heads) >= 2
        assert heads.count(True) == 1


def starts(name: str) -> Iterator[list[str]]:
    """The arguments of each `ray start` of a file."""
    if name == "kuberay.yaml":
        cluster = loaded(name)["spec"]["rayClusterSpec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            head = ["--head"] if group is cluster["headGroupSpec"] else ["--address=head:6379"]
            yield head + [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
        return
    if name == "slurm.sh":
        lines = re.sub(r"\\\n\s*", " ", (CLUSTER / name).read_text()).splitlines()
        lines = [re.sub(r"\$(\(\(.*?\)\)|\w+)", "1", line) for line in lines]
    elif name == "compose.yaml":
        lines = [each["command"] for each in loaded(name)["services"].values()]
    else:
        config = loaded(name)
        lines = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    for line in lines:
        if "ray start " in line:
            yield shlex.split(line.split("ray start ")[1].split(" &")[0])


def test_nodes_of_aws_by_the_model_that_boto_checks_calls_with() -> None:
    loaders = pytest.importorskip("botocore.loaders")
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    model = ServiceModel(loaders.Loader().load_service_model("ec2", "service-2"))
    shape = model.operation_model("RunInstances").input_shape
    for node in loaded("aws.yaml")["available_node_types"].values():
        call = {**node["node_config"], "MinCount": 1, "MaxCount": 1}
        report = ParamValidator().validate(call, shape)
        assert not report.has_errors(), report.generate_report()
        kind = call["InstanceType"]
        assert kind in model.shape_for("InstanceType").enum


def test_nodes_of_google_by_its_description_of_the_service() -> None:
    cache = pytest.importorskip("googleapiclient.discovery_cache")
    described = Path(cache.__file__).parent / "documents" / "compute.v1.json"
    schemas = json.loads(described.read_text())["schemas"]
    for node in loaded("gcp.yaml")["available_node_types"].values():
        assert list(unknown(node["node_config"], {"$ref": "Instance"}, schemas)) == []
    slip = {"scheduling": {"preemptable": True}, "disks": [{"boot": "yes"}]}
    told = list(unknown(slip, {"$ref": "Instance"}, schemas))
    assert told == [".scheduling.preemptable", ".disks[0].boot"]


TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "any": object}


def unknown(value: Any, schema: Any, schemas: Any, where: str = "") -> Iterator[str]:
    """The fields of `value` that a schema of Google's does not have, or has as another type."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if schema["type"] == "object" and isinstance(value, dict):
        for key, each in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if inner is None:
                yield f"{where}.{key}"
            else:
                yield from unknown(each, inner, schemas, f"{where}.{key}")
    elif schema["type"] == "array" and isinstance(value, list):
        for index, each in enumerate(value):
            yield from unknown(each, schema["items"], schemas, f"{where}[{index}]")
    elif not (schema.get("format") in ("int64", "uint64") and isinstance(value, int)):
        of_type = isinstance(value, TYPES.get(schema["type"], ()))
        if not of_type or value not in schema.get("enum", [value]):
            yield where


def test_workers_are_spot_instances_and_the_head_is_none() -> None:
    aws, gcp = (loaded(name)["available_node_types"] for name in RAY_YAML)
    for name in ("head", "cpu", "gpu"):
        market = aws[name]["node_config"].get("InstanceMarketOptions")
        schedule = gcp[name]["node_config"].get("scheduling", {})
        assert (market == {"MarketType": "spot"}) == (name != "head")
        assert (schedule.get("provisioningModel") == "SPOT") == (name != "head")
    assert (aws["head"]["resources"], gcp["head"]["resources"]) == ({"CPU": 0}, {"CPU": 0})


# --- our own commands ----------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of ours in the files, as the words behind `vidsearch`."""
    for path in sorted(CLUSTER.iterdir()):
        text = re.sub(r"\\\n\s*", " ", path.read_text()).replace('"$ip:$port" "$@"', "auto /videos")
        for said in re.findall(r"(?:python -m workers|vidsearch) [a-z][^\n]*", text):
            line = re.split(r'[`"]|\s#|\|\||\s&&|\s<', said)[0]
            words = shlex.split(line.replace("python -m workers", "vidsearch"))[1:]
            if words[0] in main.commands:
                yield path.name, words


def test_every_command_of_ours_is_one() -> None:
    seen = set()
    for name, words in commands():
        seen.add(name)
        command: click.Command = main
        context = click.Context(main)
        while isinstance(command, click.Group):
            _, found, words = command.resolve_command(context, words)
            assert found is not None
            command = found
        assert command.make_context(command.name, list(words)).params, (name, words)
    assert {"README.md", "aws.yaml", "gcp.yaml", "kuberay.yaml", "compose.yaml", "slurm.sh"} <= seen


def test_a_renamed_option_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        main.commands["index"].make_context("index", ["--no-such-option", "/videos"])


# --- versions ------------------------------------------------------------------------------------


def test_one_version_of_ray_is_named_everywhere_and_the_project_allows_it() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    ours = [Requirement(each) for each in project["optional-dependencies"]["ray"]]
    (allowed,) = (each.specifier for each in ours if each.name == "ray")
    named = r"(?:RAY_VERSION=|ray\[default\]==|rayVersion: .)(\d+\.\d+\.\d+)"
    versions = {path.name: set(re.findall(named, path.read_text())) for path in CLUSTER.iterdir()}
    assert set().union(*versions.values()) == {"2.60.0"}
    for name in (*DOCKERFILES, *RAY_YAML, "kuberay.yaml"):
        assert versions[name], name
    assert allowed.contains("2.60.0")


def test_all_images_have_one_python_that_the_project_allows() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    found = {
        version
        for name in DOCKERFILES
        for version in re.findall(r"^FROM python:(\d+\.\d+)-", (CLUSTER / name).read_text(), re.M)
    }
    assert len(found) == 1
    assert SpecifierSet(project["requires-python"]).contains(f"{found.pop()}.0")
