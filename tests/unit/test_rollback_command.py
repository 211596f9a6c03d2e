"""`headgate rollback`, before anything moves."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

import stack.whole_chain
from deployments.memory import MemoryTarget
from deployments.target import Revision, Split
from headgate.errors import Refused
from headgate.lake import FolderLake
from headgate.release.champion import crown
from headgate.settings import ModelSettings
from stack.whole_chain import roll_back

OLD, LIVE, NEXT = "a" * 64, "b" * 64, "c" * 64
ENDPOINT = "replies-production"


class Given:
    """Settings with one model."""

    @staticmethod
    def model(_: str) -> ModelSettings:
        stages = ({"environment": "pre-production"}, {"environment": "production"})
        return ModelSettings.model_validate({"dataset": "replies", "rollout": {"stages": stages}})


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryTarget:
    """Production with a champion that had one before it."""
    lake, target = FolderLake(tmp_path), MemoryTarget()
    now = datetime(2026, 5, 1, tzinfo=UTC)
    crown(lake, "replies", "production", OLD, None, now)
    crown(lake, "replies", "production", LIVE, OLD, now)
    target.deploy(ENDPOINT, Revision(release=LIVE, bundle_digest="0" * 64, bundle="live"))
    monkeypatch.setattr(stack.whole_chain, "the_lake", lambda: lake)
    monkeypatch.setattr(stack.whole_chain, "target_named", lambda _: target)
    monkeypatch.setattr(stack.whole_chain, "load_settings", lambda: Given)
    return target


def asked(monkeypatch: pytest.MonkeyPatch, reason: str = "wrong labels") -> str:
    """The release that the flow would be asked for."""
    wanted: list[str] = []

    def start(_: str, parameters: dict[str, str], __: str) -> None:
        wanted.append(parameters["to"])
        raise Refused("far enough")

    monkeypatch.setattr(stack.whole_chain, "start_run", start)
    with pytest.raises(Refused, match="far enough"):
        roll_back("replies", "person:ada", reason, None, lambda _: None)
    return wanted[0]


def test_it_goes_to_the_release_before_the_champion(target: MemoryTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch) == OLD


def test_while_a_release_is_rolled_out_it_asks_which_is_meant(target: MemoryTarget) -> None:
    target.deploy(ENDPOINT, Revision(release=NEXT, bundle_digest="1" * 64, bundle="next"))
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    with pytest.raises(Refused) as fault:
        roll_back("replies", "person:ada", "wrong labels", None, lambda _: None)
    assert str(fault.value) == (
        "replies: release cccccccccccc is being rolled out in production, beside the champion bbbbbbbbbbbb; to end its rollout: "
        "headgate rollback --to bbbbbbbbbbbb --reason ...; to leave the champion as well, name an earlier release with --to"
    )


def test_where_a_rollout_stopped_between_two_stages_it_asks_which_release_is_meant(
    target: MemoryTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(FolderLake(tmp_path), "replies", "pre-production", NEXT, None, datetime(2026, 5, 2, tzinfo=UTC))
    with pytest.raises(Refused) as fault:
        roll_back("replies", "person:ada", "wrong labels", None, lambda _: None)
    assert str(fault.value) == (
        "replies: release cccccccccccc is champion in pre-production, and bbbbbbbbbbbb in production: a rollout or a rollback stopped "
        "between them; to have bbbbbbbbbbbb everywhere: headgate rollback --to bbbbbbbbbbbb --reason ...; "
        "to leave it as well, name an earlier release with --to"
    )
    crown(FolderLake(tmp_path), "replies", "pre-production", LIVE, NEXT, datetime(2026, 5, 3, tzinfo=UTC))
    assert asked(monkeypatch) == OLD


def test_a_shadow_does_not_hold_it_up(target: MemoryTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    target.deploy(ENDPOINT, Revision(release="candidate-" + "d" * 16, bundle_digest="1" * 64, bundle="next"))
    target.set_split(ENDPOINT, Split(shadow=50))
    assert asked(monkeypatch) == OLD


def test_a_blank_reason_is_refused(target: MemoryTarget) -> None:
    with pytest.raises(Refused, match=r"^expected why the release goes back, found nothing; give --reason$"):
        roll_back("replies", "person:ada", "  ", None, lambda _: None)
