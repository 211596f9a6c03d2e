"""Filters that a team writes act in serving and evaluation alike, from the wheel in the bundle."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import BadBundle, BadInput
from headgate.model import custom_filters
from headgate.model.custom_filters import Headers, abstain_reason, load_filters, skip_reason
from headgate.model.filters import FilterConfig
from headgate.model.runtime import Message, Runtime
from headgate.model.wrapping import wrap

SOURCE = """
from acme_filters.names import COMPETITORS


class NoCompetitors:
    def __init__(self, names=COMPETITORS, sure=0.99):
        self.names, self.sure = tuple(names), sure

    def pre_score(self, text, headers):
        if "boom" in text:
            raise ValueError(text)
        if "odd" in text:
            return "not a reason: " + text
        return "from_a_list" if headers and "List-Id" in headers else None

    def post_score(self, text, label, score):
        return "competitor" if any(name in text for name in self.names) else None


class Half:
    def pre_score(self, text, headers):
        return None


NOT_A_CLASS = 1
"""
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "acme-filters"
version = "1.0"
"""
PLAIN = FilterConfig(min_confidence=0.0, out_of_scope_share=0.0)


def named(class_name: str, /, **options: Any) -> FilterConfig:
    return replace(PLAIN, custom=({"class": class_name, "options": options},))


def project(folder: Path, source: str = SOURCE) -> Path:
    package = folder / "acme_filters"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text(source)
    (package / "names.py").write_text('COMPETITORS = ("globex",)\n')
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private wheel, built as a team builds it."""
    source, out = project(tmp_path_factory.mktemp("acme")), tmp_path_factory.mktemp("wheels")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(build, check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(autouse=True)
def _nothing_imported() -> Iterator[None]:
    yield
    for package in list(custom_filters.FROM_WHEELS):
        custom_filters._forget(package)
    custom_filters._log.cache_clear()


def test_a_filter_in_a_private_wheel_acts_in_the_bundle(tiny_classifier: Path, wheel: Path, tmp_path: Path) -> None:
    config = named("acme_filters:NoCompetitors", names=["initech"])
    wrap(tiny_classifier, tmp_path / "b", config, {}, private_packages=[wheel])
    messages = [Message("stop"), Message("stop", {"List-Id": "x"}), Message("initech is cheaper"), Message("globex too"), Message("boom")]
    answers = Runtime.load(tmp_path / "b").score(messages)
    assert [(answer.outcome, answer.reason) for answer in answers] == [
        ("scored", None),
        ("skipped", "from_a_list"),
        ("abstained", "competitor"),
        ("scored", None),
        ("skipped", "filter_error"),
    ]
    assert answers[2].label is not None
    assert json.loads((tmp_path / "b" / "filters.json").read_text())["custom"] == [
        {"class": "acme_filters:NoCompetitors", "options": {"names": ["initech"]}}
    ]


def test_a_fresh_process_finds_the_filter_in_the_bundle_alone(tiny_classifier: Path, wheel: Path, tmp_path: Path) -> None:
    wrap(tiny_classifier, tmp_path / "b", named("acme_filters:NoCompetitors"), {}, private_packages=[wheel])
    code = (
        "import sys; from headgate.model.runtime import Message, Runtime; "
        "print(Runtime.load(sys.argv[1]).score([Message('globex')])[0].reason, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "b"], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.split() == ["competitor", "False"]


def test_two_bundles_keep_their_own_versions_of_a_filter(wheel: Path, tmp_path: Path) -> None:
    changed = project(tmp_path / "changed", SOURCE.replace('"competitor"', '"rival"'))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(tmp_path),
        str(changed),
    ]
    subprocess.run(build, check=True)
    [old] = load_filters(named("acme_filters:NoCompetitors"), wheel.parent)
    [new] = load_filters(named("acme_filters:NoCompetitors"), tmp_path)
    assert [abstain_reason([one], "globex", "a", 0.5) for one in (old, new)] == ["competitor", "rival"]


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("acme_filters", {}, "filter 'acme_filters': expected 'package.module:Class', such as 'acme_filters:NoCompetitors'"),
        ("acme_filters:Nobody", {}, "filter acme_filters:Nobody: expected a class, found nothing of that name"),
        ("acme_filters:NOT_A_CLASS", {}, "filter acme_filters:NOT_A_CLASS: expected a class, found int of that name"),
        ("acme_filters:Half", {}, "filter acme_filters:Half: expected the methods pre_score and post_score, found no post_score"),
        (
            "acme_filters:NoCompetitors",
            {"name": "x"},
            "filter acme_filters:NoCompetitors cannot be made with the options ['name']: TypeError: "
            "NoCompetitors.__init__() got an unexpected keyword argument 'name'",
        ),
    ],
)
def test_what_is_no_filter_is_told_so(wheel: Path, name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as fault:
        load_filters(named(name, **options), wheel.parent)
    assert str(fault.value) == told


def test_a_filter_whose_package_is_not_in_the_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBundle) as fault:
        load_filters(named("acme_filters:NoCompetitors"), tmp_path)
    assert str(fault.value) == (
        "filter acme_filters:NoCompetitors: expected its package among the bundle's wheels, found none; "
        "list it in private_packages and wrap again"
    )


def test_an_installed_package_that_differs_from_the_bundle_s_is_refused(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project(tmp_path / "installed", SOURCE + "# changed\n")
    monkeypatch.syspath_prepend(other)
    try:
        with pytest.raises(BadBundle, match=r"__init__\.py is not what the bundle's acme_filters-1\.0-.*none-any\.whl holds; install that"):
            load_filters(named("acme_filters:NoCompetitors"), wheel.parent)
    finally:
        for module in [module for module in sys.modules if module.startswith("acme_filters")]:
            del sys.modules[module]


class Raising:
    def pre_score(self, text: str, headers: Mapping[str, str] | None) -> str | None:
        raise RuntimeError(text)

    def post_score(self, text: str, label: str, score: float) -> Any:
        return {"text": text}


def test_a_broken_filter_costs_one_message_and_logs_no_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert skip_reason([Raising()], "secret", None) == "filter_error"
        assert skip_reason([Raising()], "secret", None) == "filter_error"
        assert abstain_reason([Raising()], "secret", "a", 0.5) == "filter_error"
    assert [record.getMessage() for record in caplog.records] == [
        f"filter {__name__}:Raising raised RuntimeError: its messages are answered with filter_error",
        f"filter {__name__}:Raising: expected a reason such as 'competitor' or None, found dict; answered filter_error",
    ]


def test_the_first_reason_counts(wheel: Path) -> None:
    one = load_filters(named("acme_filters:NoCompetitors"), wheel.parent)
    assert skip_reason([*one, Raising()], "fine", {"List-Id": "x"}) == "from_a_list"
    assert skip_reason([], "fine", None) is None
    assert skip_reason(one, "odd", None) == "filter_error"


@pytest.mark.parametrize("name", ["List-Id", "list-id", "LIST-ID"])
def test_a_filter_finds_a_header_in_whatever_case_it_was_sent(wheel: Path, name: str) -> None:
    one = load_filters(named("acme_filters:NoCompetitors"), wheel.parent)
    assert skip_reason(one, "fine", {name: "x"}) == "from_a_list"
    assert skip_reason(one, "fine", {}) is None


def test_headers_keep_the_sender_s_names_and_cannot_be_changed() -> None:
    headers = Headers({"LIST-id": "x", "Subject": "hi"})
    assert (headers["List-Id"], headers.get("subject"), headers.get("To")) == ("x", "hi", None)
    assert dict(headers) == {"LIST-id": "x", "Subject": "hi"}
    assert not hasattr(headers, "__setitem__")
