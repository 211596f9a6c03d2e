"""Which images a candidate needs, and that a release names one."""

import json
import logging
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

import tasks.imaging
from headgate.errors import Refused
from headgate.lake import Lake
from headgate.settings import KubernetesNamespace, ModelSettings, Rollout, SageMakerRegion, Settings, Stage
from tasks.imaging import Pushed, _in_repository, agreed, image_places, variant_of
from tasks.wrapping import WrappedBundle

EU = KubernetesNamespace(namespace="sales", gateway="infra/public", url="https://eu.example", repository="registry.example/replies")
US = EU.model_copy(update={"namespace": "sales-us"})
FAR = EU.model_copy(update={"repository": "far.example/replies"})
REGION = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/endpoints",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/replies",
    captures="s3://bucket/captures",
)
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []})
BUNDLE = WrappedBundle(path=Path("bundle"), digest="b" * 64)


def settings(*targets: str) -> Settings:
    stages = tuple(Stage(environment=f"production-{number}", target=target) for number, target in enumerate(targets))
    model = ModelSettings(dataset="replies", rollout=Rollout(stages=stages))
    return Settings(kubernetes={"eu": EU, "us": US, "far": FAR}, sagemaker={"virginia": REGION}, models={"replies": model})


def test_stages_on_this_machine_need_no_image() -> None:
    assert image_places(settings("local"), "replies") == []


def test_stages_with_one_repository_need_one_image() -> None:
    assert [place.repository for place in image_places(settings("local", "eu", "us", "far"), "replies")] == [EU.repository, FAR.repository]


def test_with_a_stage_on_sagemaker_every_repository_gets_the_variant_that_it_wants(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, list[str]]] = []

    def build(bundle: Path, repository: str, options: list[str], *_: object) -> str:
        built.append((repository, options))
        return f"{repository}@sha256:1"

    monkeypatch.setattr(tasks.imaging, "build_and_push", build)
    monkeypatch.setattr(tasks.imaging, "get_run_logger", lambda: logging.getLogger("test"))
    own = EU.model_copy(update={"build_options": ("--no-cache",)})
    for number, others in enumerate([(), (REGION,)]):
        bundle = WrappedBundle(path=Path("bundle"), digest=str(number) * 64)
        _in_repository(lake, bundle, own, variant_of([own, *others]))
    assert built == [(EU.repository, ["--no-cache"]), (EU.repository, ["--build-arg", "RUNTIME_USER=root", "--no-cache"])]


def test_repositories_that_hold_different_images_of_a_bundle_are_refused() -> None:
    found = [Pushed(repository="a", digest="sha256:1"), Pushed(repository="b", digest="sha256:2")]
    with pytest.raises(Refused) as fault:
        agreed("b" * 64, found)
    assert str(fault.value) == (
        "bundle bbbbbbbbbbbb: expected the same image in every repository, found a@sha256:1 and b@sha256:2; "
        "copy it as it is (skopeo copy --preserve-digests) and repeat"
    )


def test_what_a_killed_run_pushed_to_ecr_is_found_there_and_not_pushed_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.imaging, "build_and_push", lambda *_, **__: pytest.fail("pushed again"))
    monkeypatch.setattr(tasks.imaging, "get_run_logger", lambda: logging.getLogger("test"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        ecr = boto3.client("ecr", region_name="us-east-1")
        ecr.create_repository(repositoryName="replies", imageTagMutability="IMMUTABLE")
        put = ecr.put_image(repositoryName="replies", imageManifest=MANIFEST, imageTag=f"bundle-{'b' * 16}")["image"]
        assert _in_repository(lake, BUNDLE, REGION).digest == put["imageId"]["imageDigest"]


def test_an_image_that_was_pushed_before_is_not_built_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build(bundle: Path, repository: str, *_: object) -> str:
        built.append(repository)
        return f"{repository}@sha256:{len(built)}"

    monkeypatch.setattr(tasks.imaging, "build_and_push", build)
    monkeypatch.setattr(tasks.imaging, "get_run_logger", lambda: logging.getLogger("test"))
    first, again, far = (_in_repository(lake, BUNDLE, place) for place in (EU, US, FAR))
    assert built == [EU.repository, FAR.repository]
    assert first == again == Pushed(repository=EU.repository, digest="sha256:1")
    assert far.digest == "sha256:2"
