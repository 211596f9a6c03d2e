"""The evidence page in a real browser: quiet, self-contained, within its width, searchable and sortable."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import made_up_evidence

from headgate.evaluation.evidence import Evidence, draw, render

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

WIDTHS = (390, 1280)
MARKUP = "<script>document.title='owned'</script><img src=https://evil.example/x onerror=document.title='owned'>"
HOSTILE = f"{MARKUP}{'W' * 900}\u202e"
# An element that sticks out of the window is a fault, unless it lies in something that scrolls or cuts off.
STICKING_OUT = """
const inside = (node) => { for (let up = node.parentElement; up; up = up.parentElement)
  if (getComputedStyle(up).overflowX !== 'visible') return true; return false; };
return [...document.body.querySelectorAll('*')]
  .filter((node) => { const box = node.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1); })
  .filter((node) => !inside(node)).map((node) => node.outerHTML.slice(0, 120)).slice(0, 5);
"""
RESOURCES = "return performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !name.startsWith('data:'));"
VISIBLE = "return [...document.querySelectorAll(arguments[0])].filter((item) => item.offsetParent).map((item) => item.textContent);"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return made_up_evidence.evidence(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def pages(evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page as it is, with many labels, and with hostile texts."""
    folder, drawn = tmp_path_factory.mktemp("pages"), draw(evidence)
    kinds = {"plain": evidence, "hostile": made_up_evidence.hostile(evidence, HOSTILE), "many": made_up_evidence.many_labels(evidence)}
    for name, one in kinds.items():
        (folder / f"{name}.html").write_text(render(one, drawn), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in kinds}


@pytest.fixture(autouse=True)
def calm(chromium: Chrome) -> Iterator[None]:
    """Every test starts with an empty console and a browser of its own size."""
    chromium.get("about:blank")
    chromium.get_log("browser")  # type: ignore[no-untyped-call]  # selenium leaves it without types
    yield
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def show(chromium: Chrome, page: Path, width: int, theme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    chromium.get(page.as_uri())


def complaints(chromium: Chrome) -> list[dict[str, Any]]:
    return list(chromium.get_log("browser"))  # type: ignore[no-untyped-call]  # selenium leaves it without types


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["plain", "many", "hostile"])
def test_the_page_is_quiet_alone_and_within_its_width(chromium: Chrome, pages: dict[str, Path], kind: str, width: int, theme: str) -> None:
    show(chromium, pages[kind], width, theme)
    assert chromium.execute_script("return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]") == [width, theme == "dark"]
    chromium.execute_script("for (const one of document.querySelectorAll('details')) one.open = true;")
    assert chromium.execute_script("return document.scrollingElement.scrollWidth") <= width
    assert chromium.execute_script(STICKING_OUT) == []
    assert chromium.execute_script(RESOURCES) == []
    assert complaints(chromium) == []


def test_dark_is_dark(chromium: Chrome, pages: dict[str, Path]) -> None:
    found = {}
    for theme in ("light", "dark"):
        show(chromium, pages["plain"], 1280, theme)
        found[theme] = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert found == {"light": "rgb(244, 246, 248)", "dark": "rgb(13, 17, 23)"}


def test_hostile_texts_are_only_texts(chromium: Chrome, pages: dict[str, Path]) -> None:
    show(chromium, pages["hostile"], 1280)
    assert chromium.title.startswith(MARKUP), "the title is still the page's own"
    assert chromium.execute_script("return document.scripts.length") == 1
    assert chromium.execute_script("return [...document.images].filter((one) => !one.src.startsWith('data:')).length") == 0
    assert chromium.find_element(By.CSS_SELECTOR, "#harmful .text").text.startswith(MARKUP)


def test_flips_are_found_by_any_word(chromium: Chrome, pages: dict[str, Path], evidence: Evidence) -> None:
    show(chromium, pages["plain"], 390)
    flips = [*evidence.report.harmful, *evidence.report.beneficial]
    assert len(chromium.execute_script(VISIBLE, ".flip")) == len(flips)
    search = chromium.find_element(By.CSS_SELECTOR, "#flips input")
    search.send_keys("FROZE unsubscribe")
    wanted = [flip for flip in flips if "froze" in flip.text and "unsubscribe" in (flip.label, flip.champion, flip.candidate)]
    shown = chromium.execute_script(VISIBLE, ".flip")
    assert len(shown) == len(wanted) > 0
    assert all("froze" in text and "unsubscribe" in text for text in shown)
    assert chromium.find_element(By.CSS_SELECTOR, "#flips output").text == f"{len(wanted)} of {len(flips)}"


def test_flips_are_sorted_by_what_is_chosen(chromium: Chrome, pages: dict[str, Path], evidence: Evidence) -> None:
    show(chromium, pages["plain"], 1280)
    order = Select(chromium.find_element(By.CSS_SELECTOR, "#flips select"))
    order.select_by_visible_text("id")
    assert chromium.execute_script(VISIBLE, "#harmful .id") == sorted(flip.id for flip in evidence.report.harmful)
    order.select_by_visible_text("candidate score")
    scores = [float(text) for text in chromium.execute_script(VISIBLE, "#harmful .candidate-score")]
    assert scores == sorted(scores)
    order.select_by_visible_text("surest mistake first")
    assert chromium.execute_script(VISIBLE, "#harmful .id") == [flip.id for flip in evidence.report.harmful]


def test_tables_are_sorted_by_their_heads(chromium: Chrome, pages: dict[str, Path], evidence: Evidence) -> None:
    show(chromium, pages["plain"], 1280)
    table = chromium.find_element(By.CSS_SELECTOR, "#labels table")
    (head,) = [one for one in table.find_elements(By.CSS_SELECTOR, "th") if one.text.startswith("Rows")]
    column = chromium.execute_script("return arguments[0].cellIndex", head) + 1
    rows = sorted(one.support for one in evidence.report.candidate.labels)
    for expected, told in ((rows, "ascending"), (rows[::-1], "descending")):
        head.find_element(By.TAG_NAME, "button").click()
        assert [int(text) for text in chromium.execute_script(VISIBLE, f"#label-rows td:nth-child({column})")] == expected
        assert head.get_attribute("aria-sort") == told


def test_many_labels_can_be_searched(chromium: Chrome, pages: dict[str, Path]) -> None:
    show(chromium, pages["many"], 390)
    assert len(chromium.execute_script(VISIBLE, "#label-rows tr")) == 150
    chromium.find_element(By.CSS_SELECTOR, "#labels input").send_keys("label-14")
    assert len(chromium.execute_script(VISIBLE, "#label-rows tr")) == 10


def test_without_its_script_the_page_says_the_same(chromium: Chrome, pages: dict[str, Path], evidence: Evidence) -> None:
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(chromium, pages["plain"], 1280)
        assert len(chromium.find_elements(By.CSS_SELECTOR, ".flip")) == len(evidence.report.harmful) + len(evidence.report.beneficial)
        assert not any(one.is_displayed() for one in chromium.find_elements(By.CSS_SELECTOR, ".tools"))
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
