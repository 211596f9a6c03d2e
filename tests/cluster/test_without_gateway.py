"""The target on a real cluster whose Gateway API it does not use: one Service, and shares that are those of pods."""

import time

import pytest
from clients import failures, load, outcome
from kubectl import ENDPOINT, kubectl

from deployments.kubernetes import KubernetesTarget
from deployments.target import Revision, Split
from headgate.errors import Refused

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]
BODY = {"instances": [{"text": "yes please call me thursday"}]}


def test_connections_are_shared_out_by_the_number_of_pods_and_none_fails(
    target_without_gateway: KubernetesTarget, revisions: dict[str, Revision], namespace: str
) -> None:
    target, first, second = target_without_gateway, revisions["first"], revisions["second"]
    target.deploy(ENDPOINT, first)
    address = kubectl("get", "service", ENDPOINT, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    with load(f"http://{address}", 20, keep_alive=False) as found:
        target.deploy(ENDPOINT, second)
        assert outcome(target.invoke(ENDPOINT, BODY, cohort="challenger")) == "abstained"
        assert {one[1] for one in found} == {"scored"}, "a challenger gets nothing until it is given something"
        with pytest.raises(Refused, match="one pod beside 1 of the champion has 50%"):
            target.set_split(ENDPOINT, Split(champion=60, challenger=40))
        target.set_split(ENDPOINT, Split(champion=50, challenger=50))
        begun = len(found)
        time.sleep(6)
        shared = [one[1] for one in found[begun:]]
        champion, challenger = target.observe(ENDPOINT, 6)
        target.promote(ENDPOINT, second.release)
        promoted = len(found)
        time.sleep(2)
        assert {one[1] for one in found[promoted + 20 :]} == {"abstained"}
        back = target.rollback(ENDPOINT, first)
    assert failures(found) == []
    assert 0.3 < shared.count("abstained") / len(shared) < 0.7
    assert (champion.errors, challenger.errors) == (0, 0)
    assert min(champion.requests, challenger.requests) > 20
    assert (back.champion, back.challenger, back.previous) == (first, None, second)
