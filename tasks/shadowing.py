"""The shadow: the candidate answers copies of production's requests, and nobody gets its answers.

On the endpoint the candidate is a challenger with no share, named `candidate-<key>`; it is taken away at the end, whatever happens.
No rollout and no other shadow changes the endpoint meanwhile (Prefect's concurrency limit); a rollback by hand may, and ends the shadow.
"""

from datetime import UTC, datetime

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from headgate.data.frozen import load_frozen
from headgate.evaluation.endpoint import endpoint_test
from headgate.evaluation.gates import overall
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.report import Report
from headgate.release.candidate import Candidate
from headgate.release.shadow import Limits, skipped_because, told
from headgate.release.shadow_report import ShadowReport
from headgate.release.shadow_text import markdown
from headgate.settings import Stage, load_settings
from tasks.live_page import Page
from tasks.mirroring import Mirroring
from tasks.once import once_per_run
from tasks.one_at_a_time import alone_at
from tasks.places import endpoint_name, target_named, the_lake
from tasks.probing import Probe
from tasks.staging import Staging, candidate_revision
from tasks.wrapping import WrappedBundle


@once_per_run("shadow")
def run_shadow(candidate: Candidate, staging: Staging, image: str | None, regression: Report, load: LoadReport) -> ShadowReport:
    """Mirror production's requests to the candidate until that tells enough, or say why not."""
    rollout = load_settings().model(candidate.model).rollout
    tests = overall(gate.verdict for gate in (*regression.gates, *load.gates))
    if why := skipped_because(rollout.shadow, candidate.champion, tests):
        get_run_logger().info("no shadow: %s", why)
        return ShadowReport(skipped=why)
    endpoint = endpoint_name(candidate.model, rollout.stages[-1].environment)
    with alone_at(endpoint):
        report = mirror(candidate, staging.bundle, image, rollout.stages[-1])
    get_run_logger().info("shadow %s: %s; %s", report.verdict, told(report), report.reason)
    return report


def mirror(candidate: Candidate, bundle: WrappedBundle, image: str | None, stage: Stage) -> ShadowReport:
    """The shadow at the endpoint of the last stage, with its probes where it has no traffic, told in Prefect."""
    settings, target, lake = load_settings().model(candidate.model), target_named(stage.target), the_lake()
    texts = list(load_frozen(lake, settings.regression_set)["text"]) if stage.probe_rate_per_s else []
    endpoint = endpoint_name(candidate.model, stage.environment)
    page = Page(f"shadow-{candidate.model}-{candidate.key}", f"Shadow of candidate {candidate.key}")
    with Probe(target, endpoint, stage.probe_rate_per_s, texts) as probe:
        return Mirroring(
            lake=lake,
            target=target,
            endpoint=endpoint,
            candidate=candidate,
            revision=candidate_revision(candidate, bundle, image),
            limits=Limits(settings.rollout.shadow, stage.auto_rollback, settings.load_test),
            test=lambda ask: endpoint_test(ask, bundle.path),
            wait=probe.wait,
            run=str(flow_run.id or "by-hand"),
            told=lambda report: page.write(markdown(report, datetime.now(UTC)), news=report.verdict is not None),
        ).to_the_end()
