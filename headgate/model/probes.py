"""What can be told in seconds, before anything is trained: linear models on the embeddings of the encoder as it was published."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from headgate.model.network import Network

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

INVERSE_REGULARISATION = 100.0  # chosen on rows of BANKING77's training file that no few-shot file holds
MOST_ITERATIONS = 300
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows: texts, token ids, targets and weights (rows,), and embeddings (rows, hidden) by the encoder as it was published.

    Embeddings of rows that were not embedded are nan. Rows of one group are held out together; None: those of one text are.
    """

    texts: list[str]
    ids: list[list[int]]
    targets: Integers
    weights: Floats
    embeddings: Floats
    groups: Integers | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, numbers: Integers) -> "Rows":
        """The rows of these numbers, in their order."""
        texts, ids = [self.texts[n] for n in numbers], [self.ids[n] for n in numbers]
        groups = None if self.groups is None else self.groups[numbers]
        return Rows(texts, ids, self.targets[numbers], self.weights[numbers], self.embeddings[numbers], groups)

    def embedded(self) -> "Rows":
        """Those that have embeddings."""
        return self.take(np.flatnonzero(~np.isnan(self.embeddings[:, 0])))

    def joined(self, others: "Rows") -> "Rows":
        """These and then the others; all of these are trained on, so that their groups are not needed any more."""
        targets = np.concatenate([self.targets, others.targets])
        weights = np.concatenate([self.weights, others.weights])
        embeddings = np.concatenate([self.embeddings, others.embeddings])
        return Rows(self.texts + others.texts, self.ids + others.ids, targets, weights, embeddings)

    def weighted(self, weights: Floats) -> "Rows":
        """The same rows with their weights multiplied."""
        return Rows(self.texts, self.ids, self.targets, self.weights * weights, self.embeddings, self.groups)


def label_words(label: str) -> str:
    """A label's name as words: `objection/too_expensive` and `objectionTooExpensive` become plain text."""
    return " ".join(re.sub(r"[\W_]+", " ", _CAMEL.sub(" ", label)).split())


def fold_of(targets: Integers, texts: Sequence[str], folds: int, seed: int, groups: Integers | None = None) -> Integers:
    """The fold, 0 to folds - 1, that holds each row out, labels spread evenly; -1 for a label's only text, which is never held out.

    Rows of one group are held out together, by default those of equal texts (but for case and white space), or a model would be asked
    what it learnt by heart. A group that has all rows of a label is never held out.
    """
    if groups is not None:
        return _fold_of_groups(targets, np.unique(groups, return_inverse=True)[1], folds, seed)
    numbers: dict[str, int] = {}
    return _fold_of_texts(
        targets, np.array([numbers.setdefault(" ".join(text.lower().split()), len(numbers)) for text in texts], dtype=np.int64), folds, seed
    )


def _fold_of_groups(targets: Integers, group_of: Integers, folds: int, seed: int) -> Integers:
    """As for texts; and where all rows of a label fell into one fold, its groups are kept, since nothing else would teach it."""
    found = _fold_of_texts(targets, group_of, folds, seed)
    places = np.zeros((int(targets.max()) + 1, folds + 1), dtype=bool)
    places[targets, found] = True  # column -1: never held out
    alone = places.sum(axis=1) < 2
    kept = np.isin(group_of, group_of[alone[targets]])
    return np.where(kept, -1, found)


def _fold_of_texts(targets: Integers, text_of: Integers, folds: int, seed: int) -> Integers:
    first = np.unique(text_of, return_index=True)[1]
    shuffled = np.random.default_rng(seed).permutation(len(first))
    order = shuffled[np.argsort(targets[first][shuffled], kind="stable")]
    found = np.empty(len(first), dtype=np.int64)
    found[order] = np.arange(len(first)) % folds
    found[np.bincount(targets[first])[targets[first]] == 1] = -1
    return found[text_of]


def balanced(targets: Integers) -> Floats:
    """Weights, (rows,), that give every label the same total; their mean is 1."""
    counts = np.bincount(targets)
    shares: Floats = len(targets) / (np.count_nonzero(counts) * counts[targets])
    return shares


def fit_linear_head(network: Network, rows: Rows) -> None:
    """Set the network's head to multinomial logistic regression on the rows' embeddings; the encoder stays as it is."""
    model, norm = _regression(rows)
    lines, bias = model.coef_ / norm, model.intercept_
    if len(model.classes_) == 2:
        lines, bias = np.concatenate([-lines, lines]) / 2, np.concatenate([-bias, bias]) / 2
    head = network.head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(float(bias.min()) - 10.0)  # a label without rows is never the answer
        head.weight[model.classes_] = torch.as_tensor(lines, dtype=torch.float32, device=head.weight.device)
        head.bias[model.classes_] = torch.as_tensor(bias, dtype=torch.float32, device=head.bias.device)


def by_embeddings(kept: Rows, held: Rows) -> Integers:
    """Targets of the held rows, (rows,), by logistic regression on the embeddings of the kept ones."""
    model, norm = _regression(kept)
    found: Integers = model.predict(held.embeddings / norm)
    return found


def macro_f1(targets: Integers, found: Integers) -> float:
    """Macro-F1, a share; 0 without rows."""
    return float(f1_score(targets, found, average="macro", zero_division=0)) if len(targets) else 0.0


def _regression(rows: Rows) -> tuple[LogisticRegression, float]:
    norm = float(np.linalg.norm(rows.embeddings, axis=1).mean())
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few-shot data has many labels for its rows
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is nearly there is good enough
        return model.fit(rows.embeddings / norm, rows.targets, sample_weight=rows.weights), norm
