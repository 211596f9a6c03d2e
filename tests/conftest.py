"""Fixtures that every lane shares."""

import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data and test tools; absent: a loud skip for a person, a failure in CI."""
    folder = Path(os.environ.get("HEADGATE_SHARED", "../shared")).absolute()
    if not folder.is_dir():
        message = f"public data not found: expected {folder}; set HEADGATE_SHARED"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def provenance() -> dict[str, Any]:
    """What the fixture `bundle` says it was made from."""
    return {"model": "replies", "commit": "c0ffee", "data_version": {"dataset": "replies", "version": 3, "digest": "d1"}}


@pytest.fixture(scope="session")
def bundle(tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory, provenance: dict[str, Any]) -> Path:
    """A tiny real bundle, which abstains from nothing; treat it as read-only."""
    from headgate.model.filters import FilterConfig
    from headgate.model.wrapping import wrap

    return wrap(tiny_classifier, tmp_path_factory.mktemp("bundle") / "bundle", FilterConfig(min_confidence=0.0), provenance).path
