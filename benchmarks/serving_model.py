"""The model that `serving.py` serves: a BANKING77 classifier, its bundle, and the same weights as stock transformers loads them.

The stock peers run `transformers.pipeline("text-classification")` over it, pooling included (`serving_peers/mean_pooling.py`).
The temperature is folded into the head, so that their scores are calibrated as Headgate's are.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from peers import HOME
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
OURS = HOME / "serving"
CODE = "mean_pooling"
MODEL_CLASS = f"{CODE}.MeanPoolingForSequenceClassification"
ENCODER, HEAD = "encoder.", "head."


def default_classifier(data: Path) -> tuple[Path, Path]:
    """Classifier and bundle under `.headgate/bench/serving`, trained once with the default recipe (3 CPU-minutes)."""
    classifier, bundle, rows = OURS / "classifier", OURS / "bundle", data / "banking77" / "train.jsonl"
    if not (classifier / "classifier.json").is_file():
        print(f"training {classifier} (once, a few minutes) ...", file=sys.stderr)
        headgate("train", "--train", rows, "--test", data / "banking77" / "test.jsonl", "--out", classifier)
    if not (bundle / "bundle.json").is_file():
        headgate("wrap", "--classifier", classifier, "--rows", rows, "--out", bundle)
    return classifier, bundle


def headgate(*arguments: str | Path) -> None:
    """One of the library's own commands."""
    subprocess.run([str(Path(sys.executable).with_name("headgate")), *map(str, arguments)], check=True, stdout=sys.stderr)


def stock_form(classifier: Path) -> Path:
    """The folder of a saved classifier in Hugging Face form, with custom code for its pooling; made once for each classifier."""
    record = json.loads((classifier / "classifier.json").read_text(encoding="utf-8"))
    folder = OURS / f"stock-{record['files']['model.safetensors'][:12]}"
    if not (folder / "model.safetensors").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / "serving_peers" / f"{CODE}.py", folder / f"{CODE}.py")
        shutil.copyfile(classifier / "tokenizer.json", folder / "tokenizer.json")
        write_configs(folder, classifier, [str(label) for label in record["labels"]])
        write_weights(folder, classifier, float(record["temperature"]))
    return folder


def write_configs(folder: Path, classifier: Path, labels: list[str]) -> None:
    """The encoder's configuration with labels and custom code, and that of its tokenizer."""
    config = json.loads((classifier / "encoder" / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] != "bert":
        raise ValueError(f"--classifier: expected a BERT encoder, found {config['model_type']}; {CODE}.py knows no other")
    config |= {"architectures": [MODEL_CLASS.split(".")[1]], "auto_map": {"AutoModelForSequenceClassification": MODEL_CLASS}}
    config |= {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    tokenizer = {"tokenizer_class": "BertTokenizer", "model_max_length": 256, "pad_token": "[PAD]", "unk_token": "[UNK]"}
    tokenizer |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2))


def write_weights(folder: Path, classifier: Path, temperature: float) -> None:
    """The weights under transformers' names."""
    weights = load_file(classifier / "model.safetensors")
    renamed = {f"bert.{name.removeprefix(ENCODER)}": value for name, value in weights.items() if name.startswith(ENCODER)}
    renamed |= {f"classifier.{name.removeprefix(HEAD)}": value / temperature for name, value in weights.items() if name.startswith(HEAD)}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
