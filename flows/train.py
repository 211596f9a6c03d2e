"""A data version becomes a tested release, or is stopped with the evidence."""

from prefect import flow

from tasks.candidates import finish_stopped, note_standing, plan_candidate
from tasks.checking import check_data
from tasks.evidence import record_release, refuse
from tasks.gate import request_approval
from tasks.imaging import push_image
from tasks.load_testing import run_load_test
from tasks.regression_testing import run_regression_test
from tasks.shadowing import run_shadow
from tasks.staging import deploy_to_staging, leave_staging, test_staging_endpoint
from tasks.training import fine_tune
from tasks.triggering import admit_training
from tasks.wrapping import register_bundle, wrap_bundle


@flow(name="train_candidate", flow_run_name="train {model}")
def train_candidate(model: str, started_by: str = "automation:schedule", retest: str | None = None) -> str | None:
    """Train, test and offer a candidate for the newest data version, unless that was done already or the ledger says no.

    Args:
        model: table of headgate.toml
        started_by: `person:<id>` or `automation:<event>`, kept in the release record
        retest: release whose bundle is tested again against today's champion, without training
    """
    candidate = plan_candidate(model, started_by, retest)
    if known := note_standing(candidate):
        return known.release
    if not admit_training(candidate):
        return None

    checks = check_data(candidate)
    if not checks.passed:
        return finish_stopped(candidate, checks)

    classifier = fine_tune(candidate)
    bundle = wrap_bundle(candidate, classifier)
    registered = register_bundle(candidate, classifier, bundle)
    image = push_image(candidate, bundle)

    staging = deploy_to_staging(candidate, bundle)
    test_staging_endpoint(staging)
    regression = run_regression_test(candidate, staging)
    load = run_load_test(candidate, staging)
    shadow = run_shadow(candidate, staging, image, regression, load)

    tested = record_release(candidate, registered, image, checks, regression, load, shadow)
    if tested.verdict != "passed":
        leave_staging(staging)
        return refuse(tested)
    request_approval(tested)
    return tested.release
