"""Writing a bundle from a saved classifier: the same inputs give the same digest."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headgate.errors import BadInput, Terminal
from headgate.model import lexical
from headgate.model.artifact import sha256_file
from headgate.model.bundle import FORMAT_VERSION, MANIFEST, Bundle, open_bundle
from headgate.model.engine import EIGHT_BITS, NO_ROWS, REFERENCE, Choice, Row, choose_engine
from headgate.model.example_messages import EXAMPLES
from headgate.model.export import reference_logits, write_reference
from headgate.model.filters import FilterConfig, pre_score
from headgate.model.private_packages import add_private
from headgate.model.runtime import Runtime, open_session, softmax
from headgate.model.saved import read_record
from headgate.model.sbom import write_sbom
from headgate.model.serving_lock import serving_lock, written
from headgate.model.wheel import build_wheel

MAX_PROBABILITY_CHANGE = 1e-4
RECORDED_DECIMALS = 4


def wrap(
    classifier_dir: Path,
    out: Path,
    filters: FilterConfig,
    provenance: Mapping[str, Any],
    card: str | None = None,
    private_packages: Sequence[Path] = (),
    rows: Sequence[Row] | None = None,
) -> Bundle:
    """Write the bundle of a saved classifier at `out` and open it.

    provenance: any JSON, the same for the same inputs (no times, no paths of this machine). card: the model card in Markdown.
    private_packages: folders or wheels that go into the bundle as wheels. rows: texts and labels that it was trained on, as training
    read them, to make an engine in eight bits and to check it; without them it serves in fp32.
    Writing the same bundle again is harmless; BadInput if `out` holds anything else.
    """
    record = read_record(classifier_dir)
    _check_labels(rows or (), [str(label) for label in record["labels"]])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        _write_supplies(folder, private_packages, bool(filters.languages))
        _write_files(classifier_dir, folder, record, filters, provenance)
        text = card or _card([str(label) for label in record["labels"]], record, provenance)
        _write_engine(classifier_dir, folder, record, rows, text)
        return _publish(folder, out)


def _check_labels(rows: Sequence[Row], labels: Sequence[str]) -> None:
    if others := sorted({str(label) for _, label in rows} - {*labels}):
        found = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        raise BadInput(
            f"rows: expected the classifier's labels ({', '.join(labels)}), found also {found}; "
            "give the rows that it was trained on, without those of other labels"
        )


def engine_line(bundle: Bundle) -> str:
    """What the bundle serves, for a person."""
    engine = bundle.read_json("engine.json")
    return f"engine: {engine['precision']}" + (f" ({engine['reason']})" if engine["reason"] else "")


def _write_files(classifier: Path, folder: Path, record: Mapping[str, Any], filters: FilterConfig, provenance: Mapping[str, Any]) -> None:
    shutil.copyfile(classifier / "tokenizer.json", folder / "tokenizer.json")
    _write_json(folder / "labels.json", [str(label) for label in record["labels"]])
    if (classifier / lexical.FILE).is_file():
        shutil.copyfile(classifier / lexical.FILE, folder / lexical.FILE)
    scores = (record["validation"] or {}).get("out_of_scope_scores", [])
    _write_json(folder / "calibration.json", {"temperature": float(record["temperature"]), "out_of_scope_scores": list(scores)})
    _write_json(folder / "filters.json", asdict(filters))
    _write_json(folder / "provenance.json", _plain(provenance))


def _write_engine(classifier: Path, folder: Path, record: Mapping[str, Any], rows: Sequence[Row] | None, card: str) -> None:
    """The fp32 reference, proved against the original; what is served, proved against the reference; and what it answers to examples."""
    network, encoder = write_reference(classifier, len(record["labels"]), folder / REFERENCE)
    asked = {"max_length": int(record["parameters"]["max_length"]), "pad_token_id": int(network.encoder.config.pad_token_id or 0)}
    _write_json(folder / "engine.json", Choice("fp32", None, None, (), NO_ROWS).record() | asked)
    (folder / "examples.jsonl").write_text("")
    (folder / "model_card.md").write_text(card, encoding="utf-8")
    _write_manifest(folder)
    reference = Runtime.load(folder)
    _check_same_answers(reference, network)
    choice = choose_engine(reference, encoder, rows)
    if choice.model:
        (folder / EIGHT_BITS).write_bytes(choice.model)
    _write_json(folder / "engine.json", choice.record() | asked)
    (folder / "model_card.md").write_text(f"{card.rstrip()}\n\n## Engine\n\n{choice.card()}\n", encoding="utf-8")
    served = reference.with_engine(open_session(choice.model, threads=1)) if choice.model else reference
    (folder / "examples.jsonl").write_text(_recorded(served), encoding="utf-8")
    _write_manifest(folder)


def _write_supplies(folder: Path, private_packages: Sequence[Path], languages: bool) -> None:
    """What the engine needs around it: our own wheel, private ones, and the lock of the public packages."""
    locked = serving_lock(languages)
    build_wheel(folder / "wheels")
    needed = add_private(private_packages, folder / "wheels", locked)
    (folder / "requirements.txt").write_text(written({**locked, **needed}.values()), encoding="utf-8")


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    try:
        _json(content := dict(provenance))
    except (TypeError, ValueError) as fault:
        raise BadInput(f"provenance: expected plain JSON values, found others: {fault}") from None
    return content


def _check_same_answers(runtime: Runtime, network: Any) -> None:
    prepared = [pre_score(runtime.filters, example.text, example.headers) for example in EXAMPLES]
    texts = [found.text for found in prepared if found.reason is None]
    logits = reference_logits(network, runtime.encode(texts)).astype(np.float64)
    expected = softmax((logits if runtime.lexical is None else logits + runtime.lexical.logits(texts)) / runtime.temperature)
    change = float(np.abs(runtime.probabilities(texts) - expected).max(initial=0.0))
    if not change <= MAX_PROBABILITY_CHANGE:
        raise Terminal(
            f"the exported model changes a probability by {change:.2g}, expected at most {MAX_PROBABILITY_CHANGE:g}; "
            "this encoder cannot be exported faithfully: take another base model"
        )


def _recorded(runtime: Runtime) -> str:
    answers = runtime.score(EXAMPLES)
    lines = []
    for example, answer in zip(EXAMPLES, answers, strict=True):
        output = asdict(answer)
        output["score"] = None if answer.score is None else round(answer.score, RECORDED_DECIMALS)
        output["scores"] = {label: round(score, RECORDED_DECIMALS) for label, score in answer.scores.items()}
        lines.append(_json({"input": asdict(example), "output": output}, indent=None))
    return "".join(lines)


def _publish(folder: Path, out: Path) -> Bundle:
    written = open_bundle(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if (out / MANIFEST).is_file() and (out / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes():
            return open_bundle(out)
        raise BadInput(f"{out} already holds something else than bundle {written.digest[:8]}; delete it or name another folder")
    folder.replace(out)
    return Bundle(out, written.digest, written.manifest)


def _write_manifest(folder: Path) -> None:
    write_sbom(folder)
    files = {file.relative_to(folder).as_posix(): sha256_file(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    files.pop(MANIFEST, None)
    _write_json(folder / MANIFEST, {"format_version": FORMAT_VERSION, "files": files})


def _write_json(file: Path, content: object) -> None:
    file.write_text(_json(content), encoding="utf-8")


def _json(content: object, indent: int | None = 2) -> str:
    return json.dumps(content, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _card(labels: Sequence[str], record: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    known = {**record["parameters"], "base_model": Path(record["parameters"]["base_model"]).name}
    parameters = "\n".join(f"- {name}: `{value}`" for name, value in sorted(known.items()))
    origin = "\n".join(f"- {name}: `{value}`" for name, value in sorted(provenance.items()))
    intro = f"Text classifier with the labels {', '.join(f'`{label}`' for label in labels)}."
    return "\n\n".join(["# Model card", intro, "## Training", parameters, "## Provenance", origin]) + "\n"
