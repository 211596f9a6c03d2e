"""What `accuracy.py` measures: the public sets, their splits, the published numbers and the targets of issue 3."""

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Metric = Literal["accuracy", "macro-F1", "AUROC out of scope", "ECE"]
CASANUEVA = "Casanueva et al. 2020, arXiv:2003.04807"
MEHRI = "Mehri and Eric 2021, arXiv:2010.08684"
CPFT = "Zhang et al. 2021, arXiv:2109.06349"
LARSON = "Larson et al. 2019, EMNLP D19-1131"


@dataclass(frozen=True, slots=True)
class Published:
    """A number that was read, not run; percent."""

    model: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Target:
    """What the default recipe has to reach on one metric.

    value: at least (ECE: at most), percent; None: only the peers count. floor, setfit: at least that peer in the same run
    (the floor has to be beaten). stretch: the further goal.
    """

    metric: Metric
    value: float | None = None
    floor: bool = False
    setfit: bool = False
    stretch: float | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkSet:
    """One data set: file names under the data folder; the first target is the set's own metric."""

    name: str
    train: str
    test: str
    targets: tuple[Target, ...]
    published: tuple[Published, ...]
    out_of_scope: str | None = None
    few_shot: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Texts with their labels, in the file's order."""

    texts: list[str]
    labels: list[str]

    def digest(self) -> str:
        """sha256 of the rows in their order."""
        return hashlib.sha256(json.dumps([self.texts, self.labels]).encode()).hexdigest()


ECE = Target("ECE", 2.0)
LINEAR = "TF-IDF + LinearSVC"
SETS = (
    BenchmarkSet(
        "banking77",
        "banking77/train.jsonl",
        "banking77/test.jsonl",
        (Target("accuracy", 93.8), ECE),
        (
            Published("BERT-large tuned", "93.66", CASANUEVA),
            Published("USE+ConveRT", "93.36", CASANUEVA),
            Published("BERT-base", "92.6-93.0", "issue 3"),
        ),
    ),
    BenchmarkSet(
        "banking77-10shot",
        "banking77/fewshot_train_10.jsonl",
        "banking77/test.jsonl",
        (Target("accuracy", 85.2, setfit=True, stretch=86.5),),
        (
            Published("USE+ConveRT", "85.2", CASANUEVA),
            Published("ConvBERT+MLM+Example+Observers", "86.0", MEHRI),
            Published("CPFT", "87.2", CPFT),
        ),
        few_shot=True,
    ),
    BenchmarkSet(
        "banking77-5shot",
        "banking77/fewshot_train_5.jsonl",
        "banking77/test.jsonl",
        (Target("accuracy", 78.0, setfit=True, stretch=81.0),),
        (Published("USE+ConveRT", "77.8", "issue 3"), Published("CPFT", "80.9", CPFT)),
        few_shot=True,
    ),
    BenchmarkSet(
        "clinc150",
        "clinc150/train.jsonl",
        "clinc150/valid.jsonl",
        (Target("accuracy", 96.8), Target("AUROC out of scope", 95.0), ECE),
        (Published("BERT, its test split", "96.9", LARSON), Published("BERT-small, its test split", "96.8", "issue 3")),
        out_of_scope="clinc150/oos_valid.jsonl",
    ),
    BenchmarkSet(
        "snips",
        "snips/train.jsonl",
        "snips/test.jsonl",
        (Target("accuracy", 98.6, floor=True),),
        (Published(LINEAR, "98.6", "issue 3"),),
    ),
    BenchmarkSet(
        "sms_spam",
        "sms_spam/train.jsonl",
        "sms_spam/test.jsonl",
        (Target("macro-F1", 99.0, floor=True),),
        (Published(LINEAR, "99.0", "issue 3"),),
    ),
    BenchmarkSet(
        "xsid_mixed",
        "xsid_mixed/train.jsonl",
        "xsid_mixed/test.jsonl",
        (Target("accuracy", 89.4, floor=True),),
        (Published(LINEAR, "89.4", "issue 3"),),
    ),
    BenchmarkSet(
        "email_intent_parakweet",
        "email_intent_parakweet/train.jsonl",
        "email_intent_parakweet/test.jsonl",
        (Target("accuracy", 76.8, floor=True),),
        (Published(LINEAR, "76.8", "issue 3"),),
    ),
)


def choose_sets(names: str) -> tuple[BenchmarkSet, ...]:
    """The sets of a comma-separated list, in the table's order; ValueError names the unknown ones."""
    wanted, known = names.split(","), [each.name for each in SETS]
    if unknown := sorted(set(wanted) - set(known)):
        raise ValueError(f"--sets: expected some of {', '.join(known)}, found {', '.join(unknown)}")
    return tuple(each for each in SETS if each.name in wanted)


def read_rows(path: Path) -> Rows:
    """Rows of a JSON Lines file with text and label."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Rows([row["text"] for row in found], [row["label"] for row in found])


def sample(rows: Rows, labels: set[str], most: int) -> Rows:
    """At most that many rows of those labels, drawn with a fixed seed and kept in order."""
    places = [place for place, label in enumerate(rows.labels) if label in labels]
    chosen = sorted(random.Random(0).sample(places, min(most, len(places))))
    return Rows([rows.texts[place] for place in chosen], [rows.labels[place] for place in chosen])
