"""`headgate render` prints what can be applied, or says everything that is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from made_up_evidence import evidence
from made_up_release import RELEASE, keep
from typer.testing import CliRunner

from headgate.errors import BadInput, NotFound
from headgate.evaluation.evidence import Evidence
from headgate.lake import open_lake
from headgate.release.record import Release, folder
from headgate.serving.__main__ import _parser
from headgate.settings import load_settings
from stack.cli import app
from stack.render import as_yaml
from stack.render_aws import render_iam

IMAGE = f"registry.example/replies@sha256:{'9' * 64}"
TOML = '[models.replies]\ndataset = "replies"\n[models.replies.serving]\nworkers = 3\n'


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence(tmp_path_factory.mktemp("evidence"))


@pytest.fixture
def release(tested: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """A release in a lake of its own, with the evidence of a load test."""
    (tmp_path / "headgate.toml").write_text(TOML)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    monkeypatch.setenv("HEADGATE_LAKE", str(tmp_path / "lake"))
    load_settings.cache_clear()
    lake = open_lake(str(tmp_path / "lake"))
    keep(lake, RELEASE)
    lake.put_if_absent(f"{folder(RELEASE.id)}/evidence/evidence.json", tested.to_bytes())
    yield RELEASE
    load_settings.cache_clear()


def run(*arguments: str, expect: int = 0) -> str:
    found = CliRunner().invoke(app, ["render", *arguments])
    assert found.exit_code == expect, found.output
    return found.output


def test_a_release_becomes_objects_with_its_configuration_and_its_measured_memory(release: Release, tested: Evidence) -> None:
    told = run("kubernetes", release.id[:12], "--image", IMAGE, "--namespace", "sales", "--gateway", "infra/public")
    assert told.startswith(f"# release {release.id}\n# bundle sha256:{release.bundle_digest}\n---\n")
    found = {one["kind"]: one for one in yaml.safe_load_all(told)}
    assert list(found) == [
        "ServiceAccount",
        "ConfigMap",
        "Service",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "HTTPRoute",
    ]
    assert found["ConfigMap"]["data"]["WORKERS"] == "3"
    [container] = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    most_mb = max(tested.load.memory[0].samples_mb)
    assert int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 2**20 / 1e6 >= 1.5 * most_mb
    assert container["resources"]["requests"]["cpu"] == "3000m"
    assert found["HTTPRoute"]["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra"}]


def test_the_server_understands_every_argument_that_its_pod_gives_it(release: Release) -> None:
    found = {one["kind"]: one for one in yaml.safe_load_all(run("kubernetes", release.id, "--image", IMAGE))}
    [container] = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    values = found["ConfigMap"]["data"]
    arguments = [values[part[2:-1]] if part.startswith("$(") else part for part in container["args"]]
    chosen = _parser("serving").parse_args(["/bundle", *arguments])
    assert (chosen.model, chosen.release, chosen.workers) == ("replies", release.id, 3)


def test_argo_needs_a_stage_of_that_name(release: Release) -> None:
    where = ("argo", release.id, "--image", IMAGE, "--prometheus", "http://prometheus:9090")
    kinds = [one["kind"] for one in yaml.safe_load_all(run(*where))]
    assert kinds[-2:] == ["AnalysisTemplate", "Rollout"]
    found = CliRunner().invoke(app, ["render", *where, "--environment", "nowhere"])
    assert str(found.exception) == "model replies: expected one of the stages production, found 'nowhere'"


def test_everything_that_is_wrong_is_said_at_once(release: Release) -> None:
    found = CliRunner().invoke(app, ["render", "kubernetes", release.id, "--image", "replies:latest", "--namespace", "Sales"])
    first, *faults = str(found.exception).splitlines()
    assert first == "these objects cannot be made:"
    assert [fault.split(":")[0] for fault in faults] == ["namespace", "image"]


def test_an_image_that_is_not_the_releases_is_refused(release: Release, tmp_path: Path) -> None:
    other = release.model_copy(update={"image_digest": f"sha256:{'8' * 64}"})
    keep(open_lake(str(tmp_path / "lake")), other)
    found = CliRunner().invoke(app, ["render", "kubernetes", other.id, "--image", IMAGE])
    assert str(found.exception) == (f"release {other.id[:12]}: expected the image with digest sha256:{'8' * 64}, found {IMAGE}")


def test_the_role_is_printed_without_a_lake() -> None:
    found = list(yaml.safe_load_all(run("rbac", "--namespace", "sales", "--account", "flows", "--account-namespace", "headgate")))
    assert [(one["kind"], one["metadata"]["namespace"]) for one in found] == [("Role", "sales"), ("RoleBinding", "sales")]


@pytest.mark.parametrize("text", ["0589684422", "13778952e6", "5952132e92", "0x1", "n", "1.5", ".5", "-1", ""])
def test_what_other_readers_take_for_a_number_is_quoted(text: str) -> None:
    assert as_yaml([{"label": text}]) == f'---\nlabel: "{text}"\n'


def test_names_that_kubernetes_refuses_are_refused_for_the_role_too() -> None:
    found = CliRunner().invoke(app, ["render", "rbac", "--namespace", "Bad Name!", "--account", ""])
    _, *faults = str(found.exception).splitlines()
    assert [fault.split(":")[0] for fault in faults] == ["namespace", "account", "account namespace"]


def test_a_rate_needs_a_load_test_that_found_what_a_pod_bears(release: Release, tmp_path: Path) -> None:
    other = release.model_copy(update={"commit": "1" * 40})
    keep(open_lake(str(tmp_path / "lake")), other)
    found = CliRunner().invoke(app, ["render", "kubernetes", other.id, "--image", IMAGE, "--rate-per-s", "50"])
    assert str(found.exception) == (
        f"release {other.id[:12]}: expected a load test that reached a saturation, to plan pods for 50 requests a second; found none; "
        "leave --rate-per-s out, or set load_test.stairs_max_steps and retest"
    )


REGION = """
[sagemaker.us-east]
region = "us-east-1"
role_arn = "arn:aws:iam::123456789012:role/endpoint"
repository = "123456789012.dkr.ecr.us-east-1.amazonaws.com/replies"
models = "s3://acme/models"
captures = "s3://acme/captures"
[models.replies]
dataset = "replies"
[[models.replies.rollout.stages]]
environment = "production"
target = "us-east"
[models.triage]
dataset = "replies"
"""


def test_the_policy_of_a_flow_is_for_the_models_that_have_a_stage_in_the_region(release: Release, tmp_path: Path) -> None:
    (tmp_path / "headgate.toml").write_text(REGION)
    one = json.loads(run("iam", "--place", "us-east", "--flow", "endpoint"))
    assert one["Statement"][1]["Resource"] == ["arn:aws:ecr:us-east-1:123456789012:repository/replies"]
    every = json.loads(run("iam", "--place", "us-east"))
    assert list(every) == ["train_candidate", "release_candidate", "rollback_release", "watch_production", "shipping", "endpoint"]
    assert every["endpoint"] == one
    assert "replies-*" in json.dumps(every)
    assert "triage" not in json.dumps(every)


def test_a_policy_for_an_unknown_region_or_one_that_no_model_is_in_is_refused(release: Release, tmp_path: Path) -> None:
    (tmp_path / "headgate.toml").write_text(REGION.replace('target = "us-east"', 'target = "local"'))
    with pytest.raises(NotFound) as caught:
        render_iam("us-west", None)
    assert str(caught.value) == "expected the name of a table [sagemaker.NAME] in headgate.toml, which has us-east; found 'us-west'"
    with pytest.raises(BadInput) as nobody:
        render_iam("us-east", None)
    assert str(nobody.value) == (
        "expected a model with a stage whose target is us-east, found none; name it in [[models.MODEL.rollout.stages]]"
    )
