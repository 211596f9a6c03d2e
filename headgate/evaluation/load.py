"""The load test: arrivals at a set rate against an endpoint, candidate and champion in turn."""

from collections.abc import Sequence
from pathlib import Path

from headgate.errors import BadInput
from headgate.evaluation import load_gates, load_pictures, load_summary
from headgate.evaluation.gates import overall
from headgate.evaluation.load_memory import MemoryWatch, memory_use
from headgate.evaluation.load_report import LoadReport, LoadStep, MemoryUse
from headgate.evaluation.load_run import Cohorts, run_locust
from headgate.evaluation.samples import Samples
from headgate.evaluation.stairs import saturation
from headgate.settings import LoadTest

ALONE: Cohorts = {"candidate": None}


def run_load_test(url: str, texts: Sequence[str], settings: LoadTest, out: Path, cohorts: Cohorts = ALONE) -> LoadReport:
    """Evenly spaced predictions of sampled `texts`, one text each: cache off, then on, then the stairs of rising rate.

    `cohorts` says by which X-Headgate-Cohort each model answers at `url`, None without that header; a champion among them is
    sent the same texts in turn with the candidate. Writes load.json, the samples, pictures and Locust's log under `out`.
    BadInput for a test without a text or a request, Unavailable if Locust itself did not finish.
    """
    _check(texts, settings)
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    with MemoryWatch(url, cohorts, settings) as watch:
        run = run_locust(url, texts, cohorts, settings, out)
    memory = memory_use(watch.samples, run.began[0], settings)
    report = summarise(url, run.samples, settings, run.stairs, memory)
    report = report.model_copy(update={"pictures": load_pictures.draw_load(report, out)})
    (out / "load.json").write_text(report.model_dump_json(indent=1))
    return report


def summarise(
    url: str, samples: Samples, settings: LoadTest, stairs: Sequence[LoadStep] = (), memory: Sequence[MemoryUse] | None = None
) -> LoadReport:
    """Percentiles, time series and verdict of the requests whose intended start lies after the warm-up.

    Samples without role and cache are the candidate's with its cache off. `memory` is None where nobody looked.
    """
    samples = load_summary.frame_of(samples)
    sides = load_summary.sides(samples, settings)
    most = saturation(stairs)
    report = LoadReport(
        url=url,
        rate_per_s=settings.rate_per_s,
        duration_s=settings.duration_s,
        warm_up_s=settings.warm_up_s,
        sides=sides,
        stairs=tuple(stairs),
        saturation_per_s=most,
        memory=tuple(memory or ()),
        gates=(),
        verdict="inconclusive",
    )
    gates = [gate for side in sides if side.role == "candidate" for gate in load_gates.absolute(side, settings)]
    if champion := report.side("champion"):
        ratios = load_summary.latency_ratios(samples, load_gates.PERCENTILES, settings)
        gates += load_gates.against_champion(report.candidate, champion, ratios, settings)
    gates += load_gates.throughput(most, stairs, settings)
    gates += load_gates.memory(memory, settings) if memory is not None else ()
    return report.model_copy(update={"gates": tuple(gates), "verdict": overall(gate.verdict for gate in gates)})


def _check(texts: Sequence[str], settings: LoadTest) -> None:
    if not texts:
        raise BadInput("load test: expected at least one text to send, found none")
    for what, duration in (("", settings.duration_s), (" with the cache on", settings.cached_duration_s)):
        if 0 < duration * settings.rate_per_s < 1:
            found = f"{settings.rate_per_s:g}/s for {duration:g} s"
            raise BadInput(f"load test: expected a request or more{what}, found {found}; test for longer")
