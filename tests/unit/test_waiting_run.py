"""Which run asks about a release, and what `headgate run` does with one that failed on its way."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from made_up_release import RELEASE
from prefect.states import Completed, Crashed, Failed, Running, Suspended

import stack.whole_chain
from stack.whole_chain import waiting_run

FOUND, STARTED = uuid4(), uuid4()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    told: list[Any] = []

    def start(flow: str, parameters: dict[str, str], idempotency_key: str) -> UUID:
        told.append((flow, parameters, idempotency_key))
        return STARTED

    monkeypatch.setattr(stack.whole_chain, "start_run", start)
    return told


@pytest.mark.parametrize("state", [Suspended(), Running()])
def test_a_run_that_waits_or_works_is_followed(state: Any, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.whole_chain, "gate_run", lambda _: SimpleNamespace(id=FOUND, state=state))
    assert (waiting_run(RELEASE), started) == (FOUND, [])


@pytest.mark.parametrize("state", [None, Failed(), Crashed(), Completed()])
def test_one_that_failed_starts_again_under_its_key_and_so_does_one_that_never_began(
    state: Any, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(id=FOUND, state=state) if state else None
    monkeypatch.setattr(stack.whole_chain, "gate_run", lambda _: run)
    assert waiting_run(RELEASE) == STARTED
    assert started == [("release_candidate", {"release": RELEASE.id}, RELEASE.evidence_digest)]
