"""The default recipe around the training loop: what to train, how far to trust it, and why.

Many rows: some are held out, the encoder is fine-tuned on the rest, the held-out rows calibrate.

Few rows: none can be spared, and fine-tuning forgets more than they teach. A linear head is fitted on the encoder as it was published,
both are fine-tuned from there, and the weights go a share of the way to where that ends: 0 is the linear head alone. The share is
chosen by cross-validation, whose out-of-fold answers calibrate; then every row is trained on.
Sources: Kumar et al., Fine-Tuning can Distort Pretrained Features, 2022; Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, 2022.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from headgate.errors import BadInput
from headgate.model import batching
from headgate.model.checkpoint import Checkpoints
from headgate.model.choice import Choice, Tried, Validation
from headgate.model.compute import Compute, agreed, choose_compute
from headgate.model.lexical import Lexical
from headgate.model.lexical_fit import fit_lexical, scaled
from headgate.model.network import Network, load_base_model, positions
from headgate.model.probes import Floats, Integers, Rows, balanced, fit_linear_head, fold_of, label_words, macro_f1
from headgate.model.settling import FOLDS, Settled, is_few, looked_at, settle
from headgate.model.stacking import HeldOut, joined, likelihood, stack, validation_of
from headgate.model.training import Epoch, Plan, start_from_centroids, train
from headgate.settings import Train

MOST_HELD_OUT = 500
PASSED_ROWS, FEWEST_EPOCHS, MOST_EPOCHS = 20_000, 3, 5
EPOCHS_OF_FEW = 8
SHARES = (0.0, 0.3, 0.5, 0.7, 1.0)

Progress = Callable[[Epoch], None]
State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Fitted:
    """All that a fit learnt. lexical: None where held-out rows gained nothing from it; validation: None where no row could be held out."""

    network: Network
    tokenizer: Tokenizer
    lexical: Lexical | None
    history: tuple[Epoch, ...]
    temperature: float
    choice: Choice
    validation: Validation | None


@dataclass(frozen=True, slots=True)
class Setup:
    """One fit's parts. start: the published weights, from which every training of this fit begins. names: one row a label."""

    parameters: Train
    network: Network
    start: State
    tokenizer: Tokenizer
    compute: Compute
    names: Rows
    settled: Settled
    progress: Progress | None
    checkpoints: Checkpoints | None


def fit(
    parameters: Train,
    texts: Sequence[str],
    targets: Integers,
    labels: Sequence[str],
    weights: Floats | None = None,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
    groups: Integers | None = None,
) -> Fitted:
    """Train on texts whose targets index `labels`; weights are one a row, and rows of one group are held out together.

    Raises BadInput and Terminal.
    """
    compute = choose_compute()
    encoder, tokenizer = load_base_model(parameters.base_model, compute.attention)
    if (limit := positions(encoder)) is not None and parameters.max_length > limit:
        raise BadInput(f"max_length: {parameters.base_model} takes at most {limit} tokens, found {parameters.max_length}")
    with torch.random.fork_rng():
        network = Network(encoder, len(labels))

    def rows_of(texts: Sequence[str], targets: Integers, weights: Floats, embedded: Integers) -> Rows:
        ids = batching.tokenise(tokenizer, texts, parameters.max_length)
        found = np.full((len(ids), network.head.in_features), np.nan)
        found[embedded] = batching.embeddings(network, [ids[number] for number in embedded], compute).double().cpu().numpy()
        return Rows(list(texts), ids, targets, weights, found)

    embedded = np.arange(len(texts)) if parameters.method == "linear-head" else looked_at(targets, parameters.seed)
    rows = replace(rows_of(texts, targets, np.ones(len(texts)) if weights is None else weights, embedded), groups=groups)
    every = np.arange(len(labels))
    names = rows_of([label_words(label) for label in labels], every, np.full(len(labels), rows.weights.mean()), every)
    few = is_few(len(rows), len(labels)) and parameters.validation_share > 0
    setup = Setup(
        parameters, network, _copied(network), tokenizer, compute, names, settle(parameters, rows, names, few), progress, checkpoints
    )
    return _from_few(setup, rows) if few else _from_many(setup, rows)


def _from_many(setup: Setup, rows: Rows) -> Fitted:
    """Train on all rows but some, and calibrate on those."""
    held_out = _held_out(rows, setup.parameters)
    kept, held = rows.take(np.setdiff1d(np.arange(len(rows)), held_out)), rows.take(held_out)
    lexical = _lexical(setup, kept)
    kept = _as_settled(setup, kept)
    history: tuple[Epoch, ...] = ()
    if tuned := setup.parameters.method != "linear-head":
        known = kept.embedded()
        start_from_centroids(setup.network, torch.from_numpy(known.embeddings), known.targets.tolist(), known.weights.tolist())
        history = _train(setup, kept, _epochs(setup.parameters, len(kept)), setup.progress, setup.checkpoints)
    else:
        fit_linear_head(setup.network, kept)
    answers = HeldOut(held.targets, _answers(setup, held), lexical.logits(held.texts) if lexical else None)
    return _calibrated(setup, answers, lexical, history, float(tuned), None, (), _why(setup, len(rows)))


def _why(setup: Setup, rows: int) -> str:
    if setup.parameters.method != "auto":
        return "It was asked for"
    if is_few(rows, len(setup.names)):
        return f"no row may be held out to compare methods on (validation_share 0), though {rows} rows of {len(setup.names)} labels are few"
    return f"{rows} rows are enough to fine-tune on"


def _from_few(setup: Setup, rows: Rows) -> Fitted:
    """Choose how far to fine-tune by cross-validation, calibrate on its out-of-fold answers, and train on all rows."""
    shares = {"auto": SHARES, "fine-tune": SHARES[1:], "linear-head": SHARES[:1]}[setup.parameters.method]
    folds = fold_of(rows.targets, rows.texts, FOLDS, setup.parameters.seed, rows.groups)
    trainings = [fold for fold in range(FOLDS) if (folds == fold).any()]
    if not trainings:
        return _from_incomparable(setup, rows, shares)
    answers = _cross_validated(setup, rows, folds, trainings, shares)
    likely = {share: likelihood(found.network, found.targets) for share, found in answers.items()}
    share = agreed(max(shares, key=likely.__getitem__))  # processes on unlike machines may differ in the last digit
    history, states = _tuned(setup, rows, (share,), len(trainings), len(trainings) + 1)
    setup.network.load_state_dict(next(states))
    scores = {share: macro_f1(found.targets, found.network.argmax(axis=1)) for share, found in answers.items()}
    tried = [Tried(_named(one), f"macro-F1, {len(trainings)} folds", score) for one, score in scores.items()]
    tried += [Tried(_named(one), f"mean log-likelihood, {len(trainings)} folds", score) for one, score in likely.items()]
    why = (
        f"{len(rows)} rows of {len(setup.names)} labels are few; cross-validation found this most likely of {len(shares)}: {_named(share)}"
    )
    return _calibrated(setup, answers[share], _lexical(setup, rows), history, share, len(trainings), tuple(tried), why)


def _from_incomparable(setup: Setup, rows: Rows, shares: Sequence[float]) -> Fitted:
    """No label has two texts, so that none can be held out: the method that changes the encoder least, and no calibration."""
    history, states = _tuned(setup, rows, shares[:1], 0, 1)
    setup.network.load_state_dict(next(states))
    why = f"no label of these {len(rows)} rows has two texts, so that nothing could be compared or calibrated"
    return _calibrated(setup, joined([], len(setup.names)), None, history, shares[0], None, (), why)


def _cross_validated(setup: Setup, rows: Rows, folds: Integers, trainings: Sequence[int], shares: Sequence[float]) -> dict[float, HeldOut]:
    """Out-of-fold answers of each share."""
    found: dict[float, list[HeldOut]] = {share: [] for share in shares}
    for done, fold in enumerate(trainings):
        kept, held = rows.take(np.flatnonzero(folds != fold)), rows.take(np.flatnonzero(folds == fold))
        lexical = _lexical(setup, kept)
        words = lexical.logits(held.texts) if lexical else None
        for share, state in zip(shares, _tuned(setup, kept, shares, done, len(trainings) + 1)[1], strict=True):
            setup.network.load_state_dict(state)
            found[share].append(HeldOut(held.targets, _answers(setup, held), words))
    return {share: joined(parts, len(setup.names)) for share, parts in found.items()}


def _tuned(setup: Setup, rows: Rows, shares: Sequence[float], done: int, trainings: int) -> tuple[tuple[Epoch, ...], Iterator[State]]:
    """Train on rows from a linear head; the weights at each share of the way from that to the end."""
    rows = _as_settled(setup, rows)
    setup.network.load_state_dict(setup.start)
    fit_linear_head(setup.network, rows)
    first = _copied(setup.network)
    history: tuple[Epoch, ...] = ()
    if max(shares) > 0:
        progress, checkpoints = _counted(setup.progress, done, trainings), setup.checkpoints and setup.checkpoints.under(f"training-{done}")
        history = _train(setup, rows, setup.parameters.epochs or EPOCHS_OF_FEW, progress, checkpoints)
    last = _copied(setup.network)
    return history, ({name: torch.lerp(first[name], last[name], share) for name in first} for share in shares)


def _train(setup: Setup, rows: Rows, epochs: int, progress: Progress | None, checkpoints: Checkpoints | None) -> tuple[Epoch, ...]:
    asked = setup.parameters
    plan = Plan(
        epochs=epochs,
        batch_size=asked.batch_size,
        learning_rate=asked.learning_rate,
        seed=asked.seed,
        warm_up_share=asked.warm_up_share,
        weight_decay=asked.weight_decay,
        label_smoothing=asked.label_smoothing,
        dropout=asked.dropout,
        frozen_embeddings=asked.frozen_embeddings,
    )
    return train(setup.network, rows.ids, rows.targets.tolist(), plan, rows.weights.tolist(), progress, checkpoints)


def _as_settled(setup: Setup, rows: Rows) -> Rows:
    """The rows with the weights and the label names that were settled."""
    rows = rows.weighted(balanced(rows.targets)) if setup.settled.balanced else rows
    return rows.joined(setup.names) if setup.settled.label_names else rows


def _answers(setup: Setup, rows: Rows) -> Floats:
    return batching.logits(setup.network, rows.ids, setup.compute)


def _lexical(setup: Setup, rows: Rows) -> Lexical | None:
    return fit_lexical(rows.texts, rows.targets, len(setup.names), rows.weights) if setup.settled.lexical else None


def _calibrated(
    setup: Setup,
    held: HeldOut,
    lexical: Lexical | None,
    history: tuple[Epoch, ...],
    share: float,
    folds: int | None,
    tried: tuple[Tried, ...],
    why: str,
) -> Fitted:
    scale, temperature = agreed(stack(held))
    choice = Choice(
        method="fine-tune" if share else "linear-head",
        fine_tuned_share=share,
        epochs=history[-1].epochs if history else None,
        class_weight="balanced" if setup.settled.balanced else None,
        label_names=setup.settled.label_names,
        lexical_scale=scale,
        folds=folds,
        why=why,
        candidates=(*tried, *setup.settled.candidates),
    )
    kept = scaled(lexical, scale) if lexical and scale else None
    return Fitted(setup.network, setup.tokenizer, kept, history, temperature, choice, validation_of(held, scale, temperature))


def _held_out(rows: Rows, parameters: Train) -> Integers:
    wanted = min(MOST_HELD_OUT, round(parameters.validation_share * len(rows)))
    if not wanted:
        return np.zeros(0, dtype=np.int64)
    folds = fold_of(rows.targets, rows.texts, max(2, len(rows) // wanted), parameters.seed, rows.groups)
    return np.flatnonzero(folds == 0)


def _epochs(parameters: Train, rows: int) -> int:
    """The epochs asked for, or as many as pass about PASSED_ROWS, within bounds."""
    return parameters.epochs or max(FEWEST_EPOCHS, min(MOST_EPOCHS, PASSED_ROWS // rows))


def _named(share: float) -> str:
    return f"fine-tuned, {share:.0%} of the way" if share else "linear head alone"


def _counted(progress: Progress | None, done: int, trainings: int) -> Progress | None:
    """Progress that counts the epochs of all trainings of this fit."""
    if progress is None:
        return None
    return lambda epoch: progress(replace(epoch, number=done * epoch.epochs + epoch.number, epochs=trainings * epoch.epochs))


def _copied(network: Network) -> State:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
