"""The peer of training.py, run in its own environment: the stock Hugging Face Trainer script, nothing changed but what the job names.

Reads a job (JSON file, see training.py), prints one JSON object as its last line.
"""

import json
import tempfile
import time
from typing import Any

import torch
from training_job import Job, Rows, cpu_seconds, read, read_job
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments


class EpochSeconds(TrainerCallback):
    """Wall seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Stop it, once the device has done what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)


def main() -> None:
    """Run the job: an uncounted small training for imports and kernels, then the counted one."""
    job = read_job()
    torch.set_num_threads(job["threads"])
    rows, labels = read(job["train"]), sorted({row["label"] for row in read(job["train"])})
    fit({**job, "epochs": 1}, rows[: 2 * job["batch_size"]], labels)
    cpu, wall = cpu_seconds(), time.perf_counter()
    trainer, clock = fit(job, rows, labels)
    found = {"cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - wall, "examples": len(rows) * job["epochs"]}
    found["examples_per_s"] = len(rows) / clock.seconds[-1]
    found |= padding(trainer) | accuracy(trainer, job, labels)
    print(json.dumps(found | {"precision": "bf16" if trainer.args.bf16 else "fp32"}))


def fit(job: Job, rows: Rows, labels: list[str]) -> tuple[Trainer, EpochSeconds]:
    """The stock script: tokenise, load, train; padding is dynamic because the Trainer is given the tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=len(labels), **job["model_options"])
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_train_epochs=job["epochs"],
            per_device_train_batch_size=job["batch_size"],
            seed=job["seed"],
            save_strategy="no",  # in its favour: by default it also writes checkpoints
            disable_tqdm=True,
            use_cpu=job["device"] == "cpu",
            **job["trainer_options"],
        )
        clock = EpochSeconds()
        data = tokenised(tokenizer, rows, labels, job["max_length"])
        trainer = Trainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[clock])
        trainer.train()
    return trainer, clock


def tokenised(tokenizer: Any, rows: Rows, labels: list[str], max_length: int) -> Any:
    """Rows as the Trainer's model takes them, not padded yet."""
    number = {label: place for place, label in enumerate(labels)}
    found = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)
    return [{name: found[name][place] for name in found} | {"labels": number[row["label"]]} for place, row in enumerate(rows)]


def padding(trainer: Trainer) -> dict[str, float]:
    """Real share of the tokens of one epoch's batches, as it would draw them next."""
    real = padded = 0
    for batch in trainer.get_train_dataloader():
        real += int(batch["attention_mask"].sum())
        padded += batch["attention_mask"].numel()
    return {"real_tokens": real / padded}


def accuracy(trainer: Trainer, job: Job, labels: list[str]) -> dict[str, float]:
    """Share of the test rows that it labels right, if the job has any."""
    if not job["test"]:
        return {}
    rows = [row for row in read(job["test"]) if row["label"] in set(labels)]
    answer = trainer.predict(tokenised(trainer.processing_class, rows, labels, job["max_length"]))
    return {"accuracy": float((answer.predictions.argmax(1) == answer.label_ids).mean())}


if __name__ == "__main__":
    main()
