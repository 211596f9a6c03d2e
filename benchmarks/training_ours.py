"""Headgate's side of training.py: TransformerClassifier.fit as a person calls it; all that happens inside it is counted.

Reads a job (JSON file, see training.py), prints one JSON object as its last line.
"""

import json
import time
from typing import Any

import torch
from training_job import Job, Rows, cpu_seconds, read, read_job

from headgate.model.batching import batches, padded, tokenise
from headgate.model.classifier import TransformerClassifier
from headgate.model.compute import choose_compute
from headgate.model.network import Network


def main() -> None:
    """Run the job: an uncounted small training for imports and kernels, then the counted one."""
    job = read_job()
    torch.set_num_threads(job["threads"])
    if job["precision"] == "fp32":
        switch_bf16_off()
    if job["compile"]:
        Network.forward = torch.compile(Network.forward, dynamic=True)  # type: ignore[method-assign]
    rows = read(job["train"])
    fit({**job, "epochs": 1}, rows[: 2 * job["batch_size"]])
    cpu, wall = cpu_seconds(), time.perf_counter()
    classifier = fit(job, rows)
    found: dict[str, Any] = {"cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - wall}
    epochs = classifier.history_
    found["examples"] = round(sum(epoch.seconds * epoch.examples_per_second for epoch in epochs))
    found["examples_per_s"] = epochs[-1].examples_per_second
    found["wall_in_epochs_s"] = sum(epoch.seconds for epoch in epochs)
    found["labels"] = len(classifier.classes_)
    found |= padding(classifier, rows) | accuracy(classifier, job)
    print(json.dumps(found | {"precision": "bf16" if choose_compute().bf16 else "fp32"}))


def switch_bf16_off() -> None:
    """Let torch say that neither processor nor GPU multiplies in bf16, which is all that `choose_compute` asks."""
    torch.cpu._is_avx512_bf16_supported = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: False
    if choose_compute().bf16:
        raise SystemExit("expected choose_compute() in fp32, found bf16: it asks torch something new; add that to switch_bf16_off")


def fit(job: Job, rows: Rows) -> TransformerClassifier:
    """The default recipe with the job's epochs and batch size."""
    own = {name: job[name] for name in ("epochs", "batch_size", "max_length", "seed")}
    classifier = TransformerClassifier(base_model=job["model"], **own, **job["our_options"])
    return classifier.fit([row["text"] for row in rows], [row["label"] for row in rows])


def padding(classifier: TransformerClassifier, rows: Rows) -> dict[str, float]:
    """Real share of the tokens of one epoch's batches, and what an example's arithmetic depends on: its tokens and their squares."""
    ids = tokenise(classifier.tokenizer_, [row["text"] for row in rows], classifier.max_length)
    lengths = [len(row) for row in ids]
    wide = sum(padded([ids[r] for r in chosen], torch.device("cpu"))[0].numel() for chosen in batches(lengths, classifier.batch_size, 0))
    squares = sum(length**2 for length in lengths)
    return {"real_tokens": sum(lengths) / wide, "tokens_per_row": sum(lengths) / len(rows), "squares_per_row": squares / len(rows)}


def accuracy(classifier: TransformerClassifier, job: Job) -> dict[str, float]:
    """Share of the test rows that it labels right, if the job has any."""
    if not job["test"]:
        return {}
    known = set(classifier.classes_.tolist())
    rows = [row for row in read(job["test"]) if row["label"] in known]
    right = classifier.predict([row["text"] for row in rows]) == [row["label"] for row in rows]
    return {"accuracy": float(right.mean())}


if __name__ == "__main__":
    main()
