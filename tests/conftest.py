"""Fixtures that every lane shares."""

import os
from pathlib import Path

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
