"""One headless Chromium for the whole lane: Debian's, driven through selenium."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
sys.path.append(str(Path(__file__).parents[1] / "unit"))  # made_up_evidence

PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


def _options(profile: Path) -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return options


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with an empty profile, its console log kept; absent: a loud skip for a person, a failure in CI."""
    if missing := _missing():
        message = (
            f"browser not found: expected {' and '.join(PROGRAMS)}, missing {', '.join(missing)}; apt install chromium chromium-driver"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    service = Service(shutil.which("chromedriver"))
    driver = Chrome(options=_options(tmp_path_factory.mktemp("chromium")), service=service)
    try:
        driver.set_page_load_timeout(60)
        yield driver
    finally:
        driver.quit()
