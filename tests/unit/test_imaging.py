"""Which images a candidate needs, and that a release names one."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

import tasks.imaging
from headgate.errors import Refused
from headgate.lake import Lake
from headgate.settings import KubernetesNamespace, ModelSettings, Rollout, SageMakerRegion, Settings, Stage
from tasks.imaging import Pushed, image_places, in_repositories
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


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        found = boto3.client("ecr", region_name="us-east-1")
        found.create_repository(repositoryName="replies", imageTagMutability="IMMUTABLE")
        yield found
        found.delete_repository(repositoryName="replies", force=True)


def settings(*targets: str) -> Settings:
    stages = tuple(Stage(environment=f"production-{number}", target=target) for number, target in enumerate(targets))
    model = ModelSettings(dataset="replies", rollout=Rollout(stages=stages))
    return Settings(kubernetes={"eu": EU, "us": US, "far": FAR}, sagemaker={"virginia": REGION}, models={"replies": model})


def test_stages_on_this_machine_need_no_image() -> None:
    assert image_places(settings("local"), "replies") == []


def test_stages_with_one_repository_need_one_image() -> None:
    assert [place.repository for place in image_places(settings("local", "eu", "us", "far"), "replies")] == [EU.repository, FAR.repository]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What was built for which repository; the digest tells the options."""
    found: list[tuple[str, list[str]]] = []

    def build(bundle: Path, repository: str, options: list[str], *_: object, **__: object) -> str:
        found.append((repository, options))
        return f"{repository}@sha256:{' '.join(options)}"

    monkeypatch.setattr(tasks.imaging, "build_and_push", build)
    monkeypatch.setattr(tasks.imaging, "get_run_logger", lambda: logging.getLogger("test"))
    return found


def test_an_image_that_was_pushed_before_is_not_built_again(lake: Lake, built: list[tuple[str, list[str]]]) -> None:
    first = in_repositories(lake, BUNDLE, [EU])
    assert first == in_repositories(lake, BUNDLE, [US]) == [Pushed(repository=EU.repository, digest="sha256:")]
    assert [one.repository for one in in_repositories(lake, BUNDLE, [EU, FAR])] == [EU.repository, FAR.repository]
    assert built == [(EU.repository, []), (FAR.repository, [])]


def test_repositories_that_hold_different_images_of_a_bundle_are_refused_and_the_next_try_builds_anew(
    lake: Lake, built: list[tuple[str, list[str]]]
) -> None:
    other = FAR.model_copy(update={"build_options": ("--build-arg=A=1",)})
    with pytest.raises(Refused) as fault:
        in_repositories(lake, BUNDLE, [EU, other])
    assert str(fault.value) == (
        "bundle bbbbbbbbbbbb: expected the same image in every repository, found registry.example/replies@sha256: and "
        "far.example/replies@sha256:--build-arg=A=1; give these places the same build_options, or one repository, and repeat"
    )
    assert {one.digest for one in in_repositories(lake, BUNDLE, [EU, FAR])} == {"sha256:"}


@pytest.mark.usefixtures("ecr")
def test_with_a_stage_on_sagemaker_every_repository_gets_the_variant_that_it_wants_also_where_another_was_pushed_before(
    folder_lake: Lake, built: list[tuple[str, list[str]]]
) -> None:
    own = EU.model_copy(update={"build_options": ("--no-cache",)})
    region = REGION.model_copy(update={"build_options": ("--no-cache",)})
    in_repositories(folder_lake, BUNDLE, [own])
    in_repositories(folder_lake, BUNDLE, [own, region])
    in_repositories(folder_lake, BUNDLE, [own, region])
    as_root = ["--build-arg", "RUNTIME_USER=root", "--no-cache"]
    assert built == [(EU.repository, ["--no-cache"]), (EU.repository, as_root), (REGION.repository, as_root)]


def test_what_a_killed_run_pushed_to_ecr_is_found_there_and_not_pushed_again(
    folder_lake: Lake, built: list[tuple[str, list[str]]], ecr: Any
) -> None:
    put = ecr.put_image(repositoryName="replies", imageManifest=MANIFEST, imageTag=f"bundle-{'b' * 16}")["image"]
    assert [one.digest for one in in_repositories(folder_lake, BUNDLE, [REGION])] == [put["imageId"]["imageDigest"]]
    assert built == []
