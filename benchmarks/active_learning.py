"""How many fewer labels the queue needs than random sampling for the same accuracy, on BANKING77.

    python benchmarks/active_learning.py                 3 seeds, some minutes on one core
    python benchmarks/active_learning.py --quick         1 seed
    python benchmarks/active_learning.py --keep DIR      finished curves are kept there: a run that was ended goes on
    python benchmarks/active_learning.py --json out.json rows and ratios

A linear head on the untouched encoder is trained on a small labelled seed and answers the rest of the training file, as production would;
these answers go through the queue's own code (`worth_labelling`, `joined`, `ordered`), whose batch is labelled and added; and so on.
Random sampling is the peer: the same seeds, the same head, batches by chance. Beside it stand the answers with the least confidence alone,
and the queue with the encoder's embeddings in place of its n-grams. Accuracy is on the whole test file.

labels_saved: of the labels that random sampling needs for the accuracy that the queue reaches with N labels, so large a share less are
needed; the curve of random sampling is read between its points. The seed is random for all of them and counts as labels.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from gates_seeds import embedded
from numpy.typing import NDArray
from peers import CHECKOUT, HOME
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from headgate.data.parsing import read_rows
from headgate.data.queue import ordered
from headgate.data.queue_order import text_vectors
from headgate.model.probes import INVERSE_REGULARISATION, MOST_ITERATIONS
from headgate.monitoring.prediction_log import Prediction
from headgate.monitoring.queueing import joined, worth_labelling
from headgate.settings import Queue, Train

SHARED = Path(os.environ.get("HEADGATE_SHARED", CHECKOUT / ".." / "shared"))
BANKING = SHARED / "data" / "banking77"
SIZES = (154, 254, 354, 504, 704, 1004, 1404, 1904)
BOUND = 0.2  # of the labels: below it the queue would not be worth its trouble
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class Task:
    """The texts, their embeddings of length 1, and their labels as numbers; `find` is where a text stands."""

    def __init__(self) -> None:
        train, test = (read_rows(BANKING / name).rows for name in ("train.jsonl", "test.jsonl"))
        once = list({row.text: number for number, row in enumerate(train)}.values())
        self.texts = [train[number].text for number in once]
        self.names, targets = np.unique([train[number].label for number in once], return_inverse=True)
        self.targets: Ints = targets
        self.truth: Ints = np.searchsorted(self.names, [row.label for row in test])
        folder = HOME / "gates"
        self.vectors = _unit(embedded([row.text for row in train], Train().max_length, folder, _tell))[once]
        self.test_vectors = _unit(embedded([row.text for row in test], Train().max_length, folder, _tell))
        self.find = {text: number for number, text in enumerate(self.texts)}

    def head(self, labelled: Ints) -> LogisticRegression:
        """The recipe's linear head, trained on these rows."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MOST_ITERATIONS).fit(
                self.vectors[labelled], self.targets[labelled]
            )

    def embeddings_of(self, texts: Sequence[str]) -> Floats:
        """The embeddings of texts of the training file."""
        return self.vectors[[self.find[text] for text in texts]]


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """The head of a round, what is not labelled, how many labels come next, and what is drawn by chance."""

    task: Task
    head: LogisticRegression
    pool: Ints
    count: int
    rng: Any

    def answers(self) -> tuple[Ints, Floats]:
        """What production would answer about the pool: the best label and its probability, (pool,) each."""
        chances = self.head.predict_proba(self.task.vectors[self.pool])
        return self.head.classes_[chances.argmax(axis=1)], chances.max(axis=1)


Choose = Callable[[Round], Ints]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="1 seed")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder of finished curves, which are not measured again")
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS), help="ways of choosing; random is always among them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    task, seeds = Task(), range(1 if options.quick else options.seeds)
    ways = list(dict.fromkeys(["random", *options.only]))
    found = {(way, seed): kept_curve(task, way, seed, options.keep) for seed in seeds for way in ways}
    curves = {way: np.array([found[way, seed] for seed in seeds]) for way in ways}
    rows = rows_of(curves)
    ratios = {f"labels_saved{'' if way == 'queue' else ' ' + way}": saved(curves[way], curves["random"]) for way in ways if way != "random"}
    print(table(rows, ratios))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratios": ratios}, indent=2) + "\n")


def kept_curve(task: Task, way: str, seed: int, folder: Path | None) -> list[float]:
    """The curve that is kept, or a new one."""
    file = folder / f"{way.replace(', ', '-').replace(' ', '-')}-{seed}.json" if folder else None
    if file and file.is_file():
        return list(json.loads(file.read_text()))
    found = curve(task, WAYS[way], seed)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    return found


def curve(task: Task, choose: Choose, seed: int) -> list[float]:
    """Accuracy on the test file at each of SIZES."""
    rng = np.random.default_rng(seed)
    labelled = rng.choice(len(task.texts), SIZES[0], replace=False)
    found = []
    for size, following in zip(SIZES, (*SIZES[1:], None), strict=True):
        assert len(set(labelled.tolist())) == size
        head = task.head(labelled)
        found.append(float((head.predict(task.test_vectors) == task.truth).mean()))
        if following:
            pool = np.setdiff1d(np.arange(len(task.texts)), labelled)
            labelled = np.concatenate([labelled, choose(Round(task, head, pool, following - size, rng))])
    _tell(f"seed {seed}, {choose.__name__}: {found[-1]:.3f}")
    return found


def by_chance(now: Round) -> Ints:
    """Any rows of the pool."""
    return np.asarray(now.rng.choice(now.pool, now.count, replace=False))


def least_confident(now: Round) -> Ints:
    """The rows of the pool whose best label has the lowest probability."""
    return now.pool[np.argsort(now.answers()[1], kind="stable")[: now.count]]


def by_queue(now: Round, vectors_of: Callable[[Sequence[str]], Any] = text_vectors) -> Ints:
    """The batch that the queue gives out for these answers; rows beyond what the queue holds are drawn by chance."""
    (labels, scores), task = now.answers(), now.task
    told = [
        Prediction(prediction_id="", text=task.texts[row], label=str(task.names[label]), score=float(score))
        for row, label, score in zip(now.pool.tolist(), labels.tolist(), scores.tolist(), strict=True)
    ]
    waiting = joined(worth_labelling(told, Queue(), NOW))
    batch = np.array([task.find[text.text] for text in ordered(waiting, {}, now.count, vectors_of=vectors_of)], dtype=np.int64)
    rest = np.setdiff1d(now.pool, batch)
    return np.concatenate([batch, now.rng.choice(rest, now.count - len(batch), replace=False)])


def by_queue_with_embeddings(now: Round) -> Ints:
    """The same, texts compared by the encoder's embeddings."""
    return by_queue(now, now.task.embeddings_of)


WAYS: dict[str, Choose] = {
    "random": by_chance,
    "queue": by_queue,
    "queue, embeddings": by_queue_with_embeddings,
    "least confident": least_confident,
}


def saved(ours: NDArray[np.float64], chance: NDArray[np.float64]) -> float:
    """The share of labels that are saved, mean over the sizes after the seed at which the peer's curve can be read."""
    mean, peer = ours.mean(axis=0), np.maximum.accumulate(chance.mean(axis=0))
    shares = [
        1 - size / np.interp(accuracy, peer, SIZES) for size, accuracy in zip(SIZES[1:], mean[1:], strict=True) if accuracy <= peer[-1]
    ]
    return round(float(np.mean(shares)), 3)


def rows_of(curves: dict[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """One row a size and way: mean and standard deviation over the seeds."""
    return [
        {"way": way, "labels": size, "accuracy": float(found[:, at].mean()), "deviation": float(found[:, at].std())}
        for way, found in curves.items()
        for at, size in enumerate(SIZES)
    ]


def table(rows: Sequence[dict[str, Any]], ratios: dict[str, float]) -> str:
    """Accuracy in percent by labels and way, then the shares."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    cell = {(row["way"], row["labels"]): f"{row['accuracy'] * 100:.1f} ± {row['deviation'] * 100:.1f}" for row in rows}
    lines = [f"| labels | {' | '.join(ways)} |", f"|---{'|---' * len(ways)}|"]
    lines += [f"| {size:,} | {' | '.join(cell[way, size] for way in ways)} |" for size in SIZES]
    verdict = "met" if ratios.get("labels_saved", 0) >= BOUND else "MISSED"
    told = [f"{name}: {share:.0%}" for name, share in ratios.items()]
    return "\n".join([*lines, "", *told, f"labels_saved of at least {BOUND:.0%}: {verdict}"])


def _unit(vectors: Floats) -> Floats:
    found: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
