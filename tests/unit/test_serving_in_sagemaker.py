"""What SageMaker tells the image: `serve`, /opt/ml/model and environment variables."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import headgate.serving.__main__ as program
from headgate.errors import BadBundle
from headgate.model.bundle import open_bundle
from headgate.release.configuration import Configuration
from headgate.serving.sagemaker import TOLD, bundle_to_serve, environment_of, told_by


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the server is started with, instead of starting it."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(program, "run", lambda **options: found.append(options))
    return found


def test_the_image_serves_its_own_bundle_where_sagemaker_unpacked_none(tmp_path: Path, bundle: Path) -> None:
    assert bundle_to_serve(bundle, tmp_path / "absent") == bundle
    assert bundle_to_serve(bundle, tmp_path) == bundle


def test_it_serves_what_sagemaker_unpacked_where_that_is_the_bundle_that_it_was_built_from(tmp_path: Path, bundle: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "model"))
    assert bundle_to_serve(bundle, copy) == copy
    assert open_bundle(copy).digest == open_bundle(bundle).digest


def test_it_serves_no_other_bundle(tmp_path: Path, bundle: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "model"))
    (other / "bundle.json").write_text('{"format_version": 2, "files": {}}')
    digest = open_bundle(bundle).digest
    with pytest.raises(BadBundle) as caught:
        bundle_to_serve(bundle, other)
    assert str(caught.value) == (
        f"{other}: expected bundle {digest[:12]}, which this image was built from, found e3b0c44298fc; name the model.tar.gz and the image "
        "of one release, or leave ModelDataUrl out: the image holds its bundle"
    )


def test_a_model_archive_with_a_folder_on_top_is_refused(tmp_path: Path, bundle: Path) -> None:
    shutil.copytree(bundle, tmp_path / "bundle")
    with pytest.raises(BadBundle) as caught:
        bundle_to_serve(bundle, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected bundle.json at the top of model.tar.gz, found bundle; pack what is in the bundle's folder"
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": [1]}'])
def test_a_list_of_files_that_cannot_be_read_is_told(tmp_path: Path, bundle: Path, content: str) -> None:
    (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(BadBundle, match=r"bundle\.json cannot be read: "):
        bundle_to_serve(bundle, tmp_path)


def test_variables_are_options_and_options_are_variables(started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "model": "replies", "release": "r1", "cohort": "challenger", "log_text": "none", "max_cached": 7, "workers": 2, "threads": 3,
    }  # fmt: skip
    assert set(told) == set(TOLD)
    for name, value in environment_of(**told).items():
        monkeypatch.setenv(name, value)
    assert program.main(["/bundle", "--host", "0.0.0.0", "serve"]) == 0
    assert {name: value for name, value in started[0].items() if name in told} == told
    assert started[0]["host"] == "0.0.0.0"


def test_an_argument_wins_over_a_variable_and_without_the_word_serve_no_variable_counts(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_SERVE_RELEASE", "r1")
    for arguments in (["/bundle", "serve"], ["/bundle", "serve", "--release", "r2"], ["/bundle"]):
        assert program.main(arguments) == 0
    assert [options["release"] for options in started] == ["r1", "r2", None]


def test_a_variable_that_is_no_option_is_refused(
    started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADGATE_SERVE_RELEASES", "r1")
    with pytest.raises(SystemExit):
        program.main(["/bundle", "serve"])
    assert "unrecognized arguments: --releases=r1" in capsys.readouterr().err
    assert started == []


def test_all_of_a_releases_configuration_can_be_told() -> None:
    assert set(environment_of(**Configuration().model_dump())) == {f"HEADGATE_SERVE_{name.upper()}" for name in Configuration.model_fields}


def test_what_is_no_option_becomes_no_variable() -> None:
    assert environment_of(release="r1", model=None) == {"HEADGATE_SERVE_RELEASE": "r1"}
    assert told_by({"HEADGATE_SERVE_MAX_CACHED": "7", "PATH": "/bin"}) == ["--max-cached=7"]
    with pytest.raises(TypeError, match="found password"):
        environment_of(password="x")
