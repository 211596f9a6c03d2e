"""A person decides in the Prefect UI: a real browser, server, worker, MLflow and endpoint. The tests are one story and run in order."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from approval_form import ClassicForm, LandingForm
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from waiting_release import Stack, put_release

from headgate.release.audit import entries
from headgate.release.champion import champion
from headgate.release.record import Release

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]


class Waiting(NamedTuple):
    """A release and the run that asks about it."""

    release: Release
    run: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    one = Stack(tmp_path_factory.mktemp("stack"))
    try:
        one.up()
        yield one
    finally:
        one("stop")


@pytest.fixture(scope="module")
def waiting(chromium: Chrome, stack: Stack, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Waiting]:
    """Two releases and their suspended runs, by what becomes of them; the browser comes first, so that its absence is told at once."""
    put = {name: put_release(stack, bundle, tmp_path_factory.mktemp(name), name) for name in ("approved", "rejected")}
    return {name: Waiting(release, _suspended(stack, release)) for name, release in put.items()}


def _suspended(stack: Stack, release: Release) -> str:
    """The run that asks about a release, once it waits; one after the other, since two starts at once take two cores."""
    run = stack.ask(release)
    stack.wait(run, lambda state: state["name"] == "Suspended")
    return run


@pytest.fixture
def snap(chromium: Chrome) -> Callable[[str], None]:
    """Keeps a picture of the page, in a taller window, under HEADGATE_SCREENSHOTS, if that is set."""

    def take(name: str) -> None:
        if folder := os.environ.get("HEADGATE_SCREENSHOTS"):
            chromium.set_window_size(1280, 1500)
            chromium.save_screenshot(str(Path(folder) / f"{name}.png"))

    return take


@pytest.fixture
def form(chromium: Chrome, stack: Stack) -> LandingForm:
    return LandingForm(chromium, stack.address("prefect"))


def test_the_form_tells_the_evidence_and_links_to_its_page(waiting, form, stack, snap):
    release, run = waiting["approved"]
    text = form.open(run).text
    assert "replies: passed" in text
    assert "There is no champion yet; the linear floor is what it is compared with." in text
    assert all(gate in text for gate in ("Accuracy", "Macro-F1", "Beats linear floor", "Latency p95", "Data checks"))
    assert f"Bundle {release.bundle_digest[:12]}, commit c0ffee, started by automation:headgate.dataset.updated" in text
    snap("form")
    form.follow_link()
    assert form.browser.current_url == f"{stack.address('gateway')}/releases/{release.id}/evidence/index.html"
    page = form.browser.find_element(By.TAG_NAME, "body").text
    assert release.bundle_digest[:12] in page
    snap("evidence")


def test_a_form_without_approver_is_refused_at_once_and_the_run_stays_suspended(waiting, form, stack, snap):
    release, run = waiting["approved"]
    before = stack.state(run)
    form.open(run).fill("approve", reason="the evidence is convincing")
    form.press_submit()
    assert form.refusal() == "Reason: Validation failed. Failure reason: 'approver' is a required property"
    snap("refused-by-server")
    assert stack.state(run) == before
    assert stack.approval(release) is None


def test_a_blank_approver_is_refused_by_the_flow_and_the_next_form_says_why(waiting, form, stack, snap):
    release, run = waiting["approved"]
    before = stack.state(run)
    form.open(run).fill("approve", approver="   ", reason="the evidence is convincing")
    form.submit()
    stack.wait(run, lambda state: state["name"] == "Suspended" and state["id"] != before["id"])
    text = form.open(run).text
    snap("refused-by-flow")
    assert "Your answer was refused: approver: expected who decides, found nothing" in text
    assert "reason: expected why" not in text
    assert stack.approval(release) is None
    assert champion(stack.lake, release.model, "production") is None


def test_an_approval_in_the_form_is_recorded_and_takes_the_release_to_production(waiting, form, stack, snap):
    release, run = waiting["approved"]
    form.open(run).fill("approve", approver="grace@example.com", reason="the evidence is convincing")
    snap("approve")
    form.submit()
    assert stack.wait(run, lambda state: state["type"] == "COMPLETED")["name"] == "Completed"
    decision = stack.approval(release)
    assert (decision["decision"], decision["approver"], decision["reason"]) == (
        "approve",
        "grace@example.com",
        "the evidence is convincing",
    )
    assert decision["evidence_digest"] == release.evidence_digest
    assert champion(stack.lake, release.model, "production").release == release.id


def test_a_rejection_in_the_classic_interface_is_recorded_and_the_champion_stays(waiting, chromium, stack, snap):
    release, run = waiting["rejected"]
    live = champion(stack.lake, release.model, "production")
    form = ClassicForm(chromium, stack.address("prefect")).open(run)
    assert "replies: passed" in form.text
    form.fill("reject", approver="grace@example.com", reason="the flips on unsubscribe look wrong")
    snap("reject")
    form.submit()
    assert stack.wait(run, lambda state: state["type"] == "COMPLETED")["name"] == "Completed"
    decision = stack.approval(release)
    assert (decision["decision"], decision["approver"], decision["reason"]) == (
        "reject",
        "grace@example.com",
        "the flips on unsubscribe look wrong",
    )
    assert champion(stack.lake, release.model, "production") == live
    log = [(entry.action, entry.who, entry.reason) for entry in entries(stack.lake) if entry.release == release.id]
    assert log == [("reject", "grace@example.com", "the flips on unsubscribe look wrong")]
