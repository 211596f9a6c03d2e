"""Which images a candidate needs, and that a release names one."""

from pathlib import Path

import pytest

import tasks.imaging
from headgate.errors import Refused
from headgate.lake import Lake
from headgate.settings import KubernetesNamespace, ModelSettings, Rollout, Settings, Stage
from tasks.imaging import Pushed, _in_repository, agreed, image_places
from tasks.wrapping import WrappedBundle

EU = KubernetesNamespace(namespace="sales", gateway="infra/public", url="https://eu.example", repository="registry.example/replies")
US = EU.model_copy(update={"namespace": "sales-us"})
FAR = EU.model_copy(update={"repository": "far.example/replies"})
BUNDLE = WrappedBundle(path=Path("bundle"), digest="b" * 64)


def settings(*targets: str) -> Settings:
    stages = tuple(Stage(environment=f"production-{number}", target=target) for number, target in enumerate(targets))
    model = ModelSettings(dataset="replies", rollout=Rollout(stages=stages))
    return Settings(kubernetes={"eu": EU, "us": US, "far": FAR}, models={"replies": model})


def test_stages_on_this_machine_need_no_image() -> None:
    assert image_places(settings("local"), "replies") == []


def test_stages_with_one_repository_need_one_image() -> None:
    assert [place.repository for place in image_places(settings("local", "eu", "us", "far"), "replies")] == [EU.repository, FAR.repository]


def test_repositories_that_hold_different_images_of_a_bundle_are_refused() -> None:
    found = [Pushed(repository="a", digest="sha256:1"), Pushed(repository="b", digest="sha256:2")]
    with pytest.raises(Refused) as fault:
        agreed("b" * 64, found)
    assert str(fault.value) == (
        "bundle bbbbbbbbbbbb: expected the same image in every repository, found a@sha256:1 and b@sha256:2; "
        "copy it as it is (skopeo copy --preserve-digests) and repeat"
    )


def test_an_image_that_was_pushed_before_is_not_built_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build(bundle: Path, repository: str, *_: object) -> str:
        built.append(repository)
        return f"{repository}@sha256:{len(built)}"

    monkeypatch.setattr(tasks.imaging, "build_and_push", build)
    monkeypatch.setattr(tasks.imaging, "get_run_logger", lambda: __import__("logging").getLogger("test"))
    first, again, far = (_in_repository(lake, BUNDLE, place) for place in (EU, US, FAR))
    assert built == [EU.repository, FAR.repository]
    assert first == again == Pushed(repository=EU.repository, digest="sha256:1")
    assert far.digest == "sha256:2"
