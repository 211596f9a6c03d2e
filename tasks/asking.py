"""The run that asks a person about a release, and rolls it out once it is approved."""

from prefect.deployments import run_deployment
from prefect.logging import get_run_logger

from headgate.release.record import Release
from tasks.places import evidence_url


def start_gate_run(release: Release) -> None:
    """Start the release's gate run; the same evidence starts one run only, however often this is repeated."""
    run_deployment(
        "release_candidate/default",
        parameters={"release": release.id},
        timeout=0,
        as_subflow=False,
        idempotency_key=release.evidence_digest,
    )
    get_run_logger().info("release %s waits for approval; evidence: %s", release.id[:12], evidence_url(release.id))
