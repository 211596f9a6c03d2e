"""The whole chain on a subset, for each commit: does every stage still work?"""

from prefect import flow

from tasks.sanity import check_subset, clean_up, deploy_subset, score_subset, take_subset, train_subset, wrap_subset


@flow(name="sanity_check", flow_run_name="sanity check {model}")
def sanity_check(model: str) -> str:
    """Train on a few rows, wrap, serve on a staging endpoint of its own, run its endpoint test, and clean up.

    Args:
        model: table of headgate.toml
    """
    subset = take_subset(model)
    check_subset(subset)
    classifier = train_subset(subset)
    bundle = wrap_subset(subset, classifier)
    try:
        endpoint = deploy_subset(subset, bundle)
        return score_subset(subset, endpoint)
    finally:
        clean_up(subset)
