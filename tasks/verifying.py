"""Whether an endpoint serves what the records say: read from the endpoint itself and compared field by field. Knows no Prefect."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from deployments.target import Cohort, EndpointStatus, Split, Target
from headgate.errors import Refused
from headgate.evaluation.endpoint import endpoint_test
from headgate.lake import Lake
from headgate.release.champion import champion
from headgate.release.record import Release
from headgate.release.verification import Check, Verification, check, compare, faults_told
from tasks.places import revision_of

Ask = Callable[[dict[str, Any]], dict[str, Any]]
Test = Callable[[Ask], Sequence[str]]


def recorded_answers(release: Release) -> Test:
    """The endpoint test of a release: its bundle's examples, answered as recorded and under the record's provenance."""
    return lambda ask: endpoint_test(ask, revision_of(release.id).bundle, release.provenance)


def deployed_faults(target: Target, endpoint: str, release: Release, ask: Ask) -> list[str]:
    """What is wrong with a release that was just deployed: its answers, and what its server says beside the record."""
    status = target.status(endpoint)
    cohort: Cohort = "champion" if status.champion and status.champion.release == release.id else "challenger"
    said = compare(release, target.running(endpoint, cohort))
    return [*recorded_answers(release)(ask), *(str(one) for one in said if not one.passed)]


def verify(target: Target, endpoint: str, lake: Lake, environment: str, release: Release, test: Test) -> Verification:
    """Compare a champion with its release record: what its server says, the split, the recorded answers, the champion's record."""
    began = time.monotonic()
    status, live = target.status(endpoint), champion(lake, release.model, environment)
    checks = (
        *compare(release, target.running(endpoint, "champion")),
        *_status_checks(status, release),
        check("champion's record", release.id, live.release if live else None),
        _answers("recorded answers", test(lambda body: target.invoke(endpoint, body, cohort="champion"))),
        _answers("the same through the split", test(lambda body: target.invoke(endpoint, body))),
    )
    return Verification(environment=environment, release=release.id, checks=checks, took_s=time.monotonic() - began)


def require_verified(found: Verification, endpoint: str) -> Verification:
    """Refused lists every field that is not as recorded, and what to do."""
    if found.faults:
        raise Refused(
            f"{endpoint}: release {found.release[:12]} is champion again, but {len(found.faults)} of {len(found.checks)} fields are not as "
            f"its record says:{faults_told(found.faults)}\n"
            "Repeat the same command; if it ends so again, `headgate rollback --to` another release, and see the endpoint's logs"
        )
    return found


def _status_checks(status: EndpointStatus, release: Release) -> tuple[Check, ...]:
    wanted, split = Split(), status.split
    return (
        check("endpoint's champion", release.id, status.champion.release if status.champion else None),
        check("endpoint's challenger", None, status.challenger.release if status.challenger else None),
        check("split", wanted.model_dump(), split.model_dump()),
    )


def _answers(name: str, faults: Sequence[str]) -> Check:
    told = f"{len(faults)} fault(s): {'; '.join(faults[:5])}"
    return check(name, "no faults", told if faults else "no faults")
