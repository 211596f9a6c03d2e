"""Why pods do not become ready, from what the cluster says of them."""

from typing import Any

from deployments.pod_reasons import hopeless, image_digest, not_made, ready, reasons, restarts


def pod(
    state: dict[str, Any] | None = None, last: dict[str, Any] | None = None, is_ready: bool = False, **container: Any
) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(is_ready)}, {"type": "PodScheduled", "status": "True"}]
    status = {"conditions": conditions, "containerStatuses": [{"state": state or {}, "lastState": last or {}, **container}]}
    return {"metadata": {"name": "p1"}, "status": status}


def test_a_pod_that_is_ready_has_no_reasons_unless_it_is_going() -> None:
    fine = pod({"running": {}}, is_ready=True)
    assert (ready(fine), reasons([fine]), hopeless([fine])) == (True, [], False)
    assert not ready({**fine, "metadata": {"name": "p1", "deletionTimestamp": "now"}})


def test_an_image_that_cannot_be_pulled_is_told_as_the_node_tells_it() -> None:
    backed_off = pod({"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "r/x@sha256:0"'}})
    assert reasons([backed_off]) == ['pod p1: ImagePullBackOff: Back-off pulling image "r/x@sha256:0"']
    assert hopeless([backed_off])
    assert not hopeless([pod({"waiting": {"reason": "ErrImagePull"}})]), "the first failure may pass"
    assert not hopeless([pod({"waiting": {"reason": "ContainerCreating"}})])


def test_a_crash_loop_is_told_with_the_exit_code_of_its_last_end() -> None:
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    looping = pod({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, ended, restartCount=2)
    assert reasons([looping]) == ["pod p1: its server ended with exit code 3 (Error); CrashLoopBackOff: back-off 10s"]
    assert (hopeless([looping]), restarts(looping)) == (True, 2)
    assert not hopeless([pod({"running": {}}, ended, restartCount=1)]), "it is tried again"


def test_a_container_that_could_not_be_made_is_tried_again_by_its_node() -> None:
    late = pod({"waiting": {"reason": "CreateContainerConfigError", "message": "failed to sync configmap cache: timed out"}})
    assert (hopeless([late]), not_made([late])) == (False, True)
    assert reasons([late]) == ["pod p1: CreateContainerConfigError: failed to sync configmap cache: timed out"]
    assert not not_made([pod({"running": {}}), pod({"waiting": {"reason": "ContainerCreating"}})])


def test_memory_that_ran_out_is_hopeless_at_once() -> None:
    killed = pod({"running": {}}, {"terminated": {"exitCode": 137, "reason": "OOMKilled", "signal": 9}}, restartCount=1)
    assert hopeless([killed])
    assert reasons([killed]) == ["pod p1: its server ended with exit code 137 (OOMKilled by signal 9); its server runs, but is not ready"]


def test_a_pod_without_a_node_says_what_the_scheduler_says() -> None:
    told = "0/1 nodes are available: 1 Insufficient memory."
    unplaced = {"metadata": {"name": "p2"}, "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": told}]}}
    assert reasons([unplaced]) == [f"pod p2: not scheduled: {told}"]


def test_the_image_that_runs_is_named_by_the_digest_that_the_node_pulled() -> None:
    assert image_digest([pod(name="server", imageID="registry.example/replies@sha256:abc")]) == "sha256:abc"
    assert image_digest([pod(name="server", imageID="sha256:def"), pod()]) is None
    assert image_digest([pod(name="istio-proxy", imageID="registry.example/proxy@sha256:123")]) is None
