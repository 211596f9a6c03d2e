"""Going back and forth on a real endpoint: router, supervisord and model servers are the shipped ones, with two real bundles."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from two_releases import CONFIGURATIONS, OUTCOMES, TEXT, revision, two_releases

from deployments.local import LocalTarget
from deployments.target import Split
from headgate.errors import NotFound, Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.lake import FolderLake
from headgate.release.audit import entries
from headgate.release.champion import champion, crown
from headgate.release.record import Release
from headgate.release.verification import Verification, compare
from tasks.putting_back import PutBack

ENDPOINT, NOW = "replies-production", datetime(2026, 5, 1, tzinfo=UTC)


class World:
    """A local endpoint where the second release was promoted after the first."""

    def __init__(self, folder: Path, classifier: Path) -> None:
        self.target = LocalTarget(folder / "home", first_port=22700, ready_s=60)
        self.lake, self.made = FolderLake(folder / "lake"), two_releases(classifier, folder)
        for place, (release, bundle) in enumerate(self.made):
            self.target.deploy(ENDPOINT, revision(release, bundle))
            self.target.promote(ENDPOINT, release.id)
            crown(self.lake, "replies", "production", release.id, self.made[0][0].id if place else None, NOW)

    def ask(self) -> tuple[str, str, bool]:
        """Outcome, release and whether the answer was cached, of a request as clients send it."""
        answer = httpx.post(f"{self.target.status(ENDPOINT).url}/invocations", json={"instances": [{"text": TEXT}]}, trust_env=False)
        told, model = answer.json()["predictions"][0], answer.json()["model"]
        assert told["prediction_id"].startswith(model["bundle_digest"][:8])
        return told["outcome"], model["release"], self._logged(model["release"], told["prediction_id"])["cached"]

    def _logged(self, release: str, prediction: str) -> dict[str, Any]:
        for _ in range(200):  # the log is written beside the answer
            for file in self.target.prediction_log(ENDPOINT, release).glob("predictions*.jsonl"):
                for line in file.read_bytes().splitlines():
                    if (found := orjson.loads(line))["prediction_id"] == prediction:
                        return dict(found)
            httpx.get(f"{self.target.status(ENDPOINT).url}/ping", trust_env=False)
        raise AssertionError(f"{prediction} was not logged")

    def put_back(self, place: int, reason: str) -> Verification:
        release, own = self.made[place]
        return PutBack(
            lake=self.lake,
            target=self.target,
            endpoint=ENDPOINT,
            environment="production",
            release=release,
            revision=lambda: revision(release, own),
            test=lambda ask: endpoint_test(ask, own, release.provenance),
            who="ada",
            reason=reason,
        ).to_the_end()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_classifier: Path) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("rollback"), tiny_classifier)
    yield made
    made.target.delete(ENDPOINT)
    made.target.processes.shutdown()


def test_bundle_configuration_and_cache_go_back_and_forth_together(world: World) -> None:
    first, second = (release for release, _ in world.made)
    assert world.ask() == (OUTCOMES[1], second.id, False)
    assert world.ask() == (OUTCOMES[1], second.id, True)
    for place, reason in ((0, "abstains from everything"), (1, "that was on purpose"), (0, "it was not")):
        proof = world.put_back(place, reason)
        assert (proof.faults, len(proof.checks)) == ((), 14)
        assert world.ask() == (OUTCOMES[place], world.made[place][0].id, False)  # the other bundle's cached answer is never given
        assert world.ask() == (OUTCOMES[place], world.made[place][0].id, True)
        running = world.target.running(ENDPOINT, "champion")
        assert running.configuration == CONFIGURATIONS[place].model_dump()
        assert running.cache_namespace == world.made[place][0].bundle_digest
        status, live = world.target.status(ENDPOINT), champion(world.lake, "replies", "production")
        assert (status.challenger, status.split, live is not None and live.release) == (None, Split(), world.made[place][0].id)
    told = [(entry.action, entry.release) for entry in entries(world.lake)]
    steps = ("roll_back_started", "roll_back", "roll_back_verified")
    assert told == [(step, release) for release in (first.id, second.id, first.id) for step in steps]


def test_a_challenger_s_own_server_is_asked_and_compared_too(world: World) -> None:
    live = champion(world.lake, "replies", "production")
    assert live is not None
    release, bundle = next(made for made in world.made if made[0].id != live.release)
    with pytest.raises(NotFound, match=f"endpoint {ENDPOINT} has no challenger; deploy one first"):
        world.target.running(ENDPOINT, "challenger")
    world.target.deploy(ENDPOINT, revision(release, bundle))
    said = compare(release, world.target.running(ENDPOINT, "challenger"))
    assert [str(one) for one in said if not one.passed] == []
    assert [one.name for one in compare(release, world.target.running(ENDPOINT, "champion")) if not one.passed] == [
        "release",
        "bundle_digest",
        "cache_namespace",
        "configuration.log_text",
        "configuration.max_cached",
    ]
    world.target.rollback(ENDPOINT)


def test_another_bundle_under_the_release_s_name_is_no_rollback(world: World) -> None:
    live = champion(world.lake, "replies", "production")
    assert live is not None
    place = next(number for number, (release, _) in enumerate(world.made) if release.id != live.release)
    wrong = world.made[1 - place]

    def swapped(release: Release) -> Any:
        return revision(release, wrong[1]).model_copy(update={"bundle_digest": wrong[0].bundle_digest})

    release = world.made[place][0]
    back = PutBack(
        lake=world.lake,
        target=world.target,
        endpoint=ENDPOINT,
        environment="production",
        release=release,
        revision=lambda: swapped(release),
        test=lambda ask: endpoint_test(ask, world.made[place][1], release.provenance),
        who="ada",
        reason="a wrong folder",
    )
    with pytest.raises(Refused, match="but 4 of 14 fields are not as its record says") as refused:
        back.to_the_end()
    for field in ("bundle_digest", "cache_namespace"):
        assert f"\n  {field}: expected {release.bundle_digest}, found {wrong[0].bundle_digest}\n" in str(refused.value)
    assert entries(world.lake)[-1].action == "roll_back_failed"
    assert world.put_back(place, "the right folder").faults == ()
    assert world.ask()[0] == OUTCOMES[place]
