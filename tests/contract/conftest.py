"""The serving image, built once for all tests of the lane `image`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from image_engine import NAME, Engine, find_engine


@pytest.fixture(scope="session")
def engine(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Builds and runs images here."""
    return find_engine(shared, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def image(engine: Engine, bundle: Path) -> Iterator[str]:
    """The image of the tiny bundle."""
    yield from _built(engine, bundle, "plain")


@pytest.fixture(scope="session")
def root_image(engine: Engine, bundle: Path) -> Iterator[str]:
    """The same as SageMaker wants it."""
    yield from _built(engine, bundle, "root", RUNTIME_USER="root")


def _built(engine: Engine, bundle: Path, tag: str, **arguments: str) -> Iterator[str]:
    built = engine.image(bundle, tag, **arguments)
    assert built.returncode == 0, built.stderr[-3000:]
    yield f"{NAME}:{tag}"
    engine.call(engine.run, "rmi", "--force", f"{NAME}:{tag}")
