"""The loop learns, obeys its plan, and counts a row as often as its weight says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headgate.errors import Terminal
from headgate.model import training
from headgate.model.batching import embeddings, padded, tokenise
from headgate.model.compute import choose_compute
from headgate.model.network import InBf16, Network, load_base_model
from headgate.model.training import Epoch, Plan, start_from_centroids, train

TEXTS = ["yes please", "yes, call me", "yes yes", "stop", "stop it please", "no, stop"]
TARGETS = [0, 0, 0, 1, 1, 1]
PLAN = Plan(epochs=4, batch_size=4, learning_rate=2e-3, seed=1)


def made(encoder: Path, texts: list[str] = TEXTS) -> tuple[Network, list[list[int]]]:
    found, tokenizer = load_base_model(str(encoder), "eager")
    network, ids = Network(found, 2), tokenise(tokenizer, texts, 32)
    start_from_centroids(network, embeddings(network, ids, choose_compute()), TARGETS)
    return network, ids


def trained(encoder: Path, plan: Plan = PLAN, weights: list[float] | None = None) -> tuple[Network, tuple[Epoch, ...]]:
    network, ids = made(encoder)
    return network, train(network, ids, TARGETS, plan, weights)


def test_the_loss_falls_and_each_epoch_is_told(tiny_encoder: Path) -> None:
    network, ids = made(tiny_encoder)
    told: list[Epoch] = []
    history = train(network, ids, TARGETS, PLAN, progress=told.append)
    assert tuple(told) == history
    assert [(epoch.number, epoch.epochs) for epoch in history] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert history[-1].loss < history[0].loss
    assert not network.training


def test_frozen_embeddings_stay_as_they_are_and_others_do_not(tiny_encoder: Path) -> None:
    start = made(tiny_encoder)[0].encoder.get_input_embeddings().weight
    frozen = trained(tiny_encoder)[0].encoder.get_input_embeddings().weight
    moved = trained(tiny_encoder, replace(PLAN, frozen_embeddings=False))[0].encoder.get_input_embeddings().weight
    assert torch.equal(frozen, start)
    assert not torch.equal(moved, start)


@pytest.mark.parametrize(
    "change",
    [
        {"label_smoothing": 0.0},
        {"warm_up_share": 0.5},
        {"weight_decay": 1.0},
        {"dropout": 0.3},
        {"max_gradient_norm": 0.01},
        {"seed": 2},
        {"learning_rate": 1e-3},
    ],
)
def test_every_number_of_the_plan_matters(tiny_encoder: Path, change: dict[str, float]) -> None:
    one, other = trained(tiny_encoder)[0], trained(tiny_encoder, replace(PLAN, **change))[0]  # type: ignore[arg-type]
    assert not torch.equal(one.head.weight, other.head.weight)


def test_equal_weights_of_any_size_are_no_weights(tiny_encoder: Path) -> None:
    plain, weighted = trained(tiny_encoder), trained(tiny_encoder, weights=[4.0] * 6)
    assert torch.allclose(plain[0].head.weight, weighted[0].head.weight, atol=1e-3)
    assert [epoch.loss for epoch in plain[1]] == pytest.approx([epoch.loss for epoch in weighted[1]], abs=1e-3)


def test_a_row_without_weight_teaches_nothing(tiny_encoder: Path) -> None:
    network, ids = made(tiny_encoder)
    train(network, ids, [0, 0, 1, 1, 1, 1], replace(PLAN, batch_size=6), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    other, ids = made(tiny_encoder)
    train(other, ids, [0, 0, 0, 1, 1, 1], replace(PLAN, batch_size=6), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    assert torch.equal(network.head.weight, other.head.weight)


def test_the_head_starts_as_nearest_centroid(tiny_encoder: Path) -> None:
    network, ids = made(tiny_encoder)
    compute = choose_compute()
    pooled = torch.nn.functional.normalize(embeddings(network, ids, compute))
    middle = pooled.mean(0)
    centroids = torch.stack([(pooled[:3] - middle).sum(0), (pooled[3:] - middle).sum(0)])
    expected = (pooled - middle) @ torch.nn.functional.normalize(centroids).T
    with torch.no_grad():
        found = network.head(embeddings(network, ids, compute))
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


def test_bf16_answers_almost_alike_and_weights_and_gradients_stay_float32(tiny_encoder: Path) -> None:
    network, ids = made(tiny_encoder)
    network.encoder.get_input_embeddings().requires_grad_(False)
    inputs = padded(ids, torch.device("cpu"))
    plain, rounded = network(*inputs), InBf16(network)(*inputs)
    assert not torch.equal(plain, rounded)
    assert torch.allclose(plain, rounded, atol=0.2)
    rounded.sum().backward()
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    assert all(weight.dtype == torch.float32 and weight.grad is not None and weight.grad.dtype == torch.float32 for weight in trained)


def test_a_loss_that_is_no_number_names_epoch_and_step(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CENTROID_SCALE", float("nan"))
    with pytest.raises(Terminal, match=r"^training diverged: loss nan in epoch 1, step 1; try a learning rate below 0.002$"):
        trained(tiny_encoder)


def test_a_gradient_that_is_no_number_is_told_too(tiny_encoder: Path) -> None:
    network, ids = made(tiny_encoder)
    calls = iter(range(1, 100))
    network.head.weight.register_hook(lambda gradient: gradient * float("inf") if next(calls) == 4 else gradient)
    with pytest.raises(Terminal, match=r"^training diverged: gradient norm (nan|inf) in epoch 2, step 2; try a learning rate below 0.002$"):
        train(network, ids, TARGETS, PLAN)
