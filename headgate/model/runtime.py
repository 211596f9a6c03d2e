"""The pipeline as it is served: filters, tokenizer, ONNX Runtime, calibration; the same code scores in evaluation.

Neither torch nor transformers is needed: numpy, onnxruntime and tokenizers only.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: it reports usage to its maker otherwise

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from headgate.errors import BadBundle
from headgate.model import lexical
from headgate.model.bundle import Bundle, open_bundle
from headgate.model.custom_filters import abstain_reason, load_filters, skip_reason
from headgate.model.filters import FilterConfig, Prepared, post_score, pre_score
from headgate.model.language import check_languages
from headgate.model.lexical_file import open_lexical
from headgate.model.tokenizer_file import open_tokenizer

Outcome = Literal["scored", "skipped", "abstained"]
MAX_GROUP, MAX_TOKENS = 16, 256
MIN_FILL = 0.75


@dataclass(frozen=True, slots=True)
class Message:
    """One text to classify, with its mail headers where there are any."""

    text: str
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer for one message: a skipped one has no label, an abstained one keeps it."""

    label: str | None
    score: float | None
    scores: dict[str, float]
    outcome: Outcome
    reason: str | None


def truncate_ids(ids: Sequence[int], max_length: int) -> list[int]:
    """At most max_length token ids, special ones included: the first half of the budget and the last half."""
    if len(ids) <= max_length:
        return list(ids)
    head = max_length // 2
    return [*ids[:head], *ids[len(ids) - (max_length - head) :]]


class Runtime:
    """A loaded bundle; `score` is safe to call from several threads."""

    def __init__(self, bundle: Bundle, session: Any, tokenizer: Tokenizer) -> None:
        engine = bundle.read_json("engine.json")
        self.bundle = bundle
        self.labels = tuple(bundle.labels)
        self.filters = FilterConfig(**bundle.read_json("filters.json"))
        self.custom = load_filters(self.filters, bundle.path / "wheels")
        if self.filters.languages:
            check_languages(self.filters.languages)
        self._max_length = int(engine["max_length"])
        self._pad = int(engine["pad_token_id"])
        calibration = bundle.read_json("calibration.json")
        self.temperature = float(calibration["temperature"])
        self.highest_energy = _bound(calibration.get("out_of_scope_scores", []), self.filters.out_of_scope_share)
        listed = lexical.FILE in bundle.manifest["files"]
        self.lexical = open_lexical(bundle.file(lexical.FILE), len(self.labels)) if listed else None
        self._session, self._tokenizer = session, tokenizer

    @classmethod
    def load(cls, bundle: Bundle | Path | str, threads: int = 1, *, reference: bool = False) -> Self:
        """Load a bundle, verified first where a folder is named; BadBundle where it is not as it was written.

        threads: of one matrix product. reference: its fp32 engine rather than the one that is served.
        """
        opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        try:
            file = opened.file(opened.read_json("engine.json")["reference" if reference else "file"])
            return cls(opened, open_session(str(file), threads), open_tokenizer(opened.file("tokenizer.json")))
        except (KeyError, TypeError, ValueError) as fault:
            raise BadBundle(f"{opened.path}: a file of bundle {opened.digest[:8]} has the wrong fields: {fault!r}; wrap again") from fault

    def with_engine(self, session: Any) -> Self:
        """The same but for the engine."""
        other = copy(self)
        other._session = session
        return other

    def score(self, items: Sequence[Message]) -> list[Scored]:
        """Filter and score messages; the answers are in their order."""
        prepared = [self._prepared(item) for item in items]
        rows = [number for number, found in enumerate(prepared) if found.reason is None]
        answers = [Scored(None, None, {}, "skipped", found.reason) for found in prepared]
        for row, answer in zip(rows, self._answers([prepared[row].text for row in rows]), strict=True):
            answers[row] = answer
        return answers

    def predict(self, texts: Sequence[str]) -> NDArray[np.object_]:
        """The label of each text as it is served, (texts,); None where a filter skips it. An abstained one keeps its label."""
        labels = np.empty(len(texts), dtype=object)
        labels[:] = [found.label for found in self.score([Message(text) for text in texts])]
        return labels

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated logits of texts that are already filtered, (texts, labels)."""
        ids = self.encode(texts)
        found = np.zeros((len(ids), len(self.labels)))
        for rows in groups([len(tokens) for tokens in ids]):
            found[rows] = self._run([ids[row] for row in rows])
        return (found if self.lexical is None else found + self.lexical.logits(texts)) / self.temperature

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated probabilities of texts that are already filtered, (texts, labels)."""
        return softmax(self.logits(texts))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text as the network reads them: special tokens included, truncated."""
        return [truncate_ids(found.ids, self._max_length) for found in self._tokenizer.encode_batch_fast(list(texts))]

    def _run(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        longest = max(map(len, ids))
        tokens = np.full((len(ids), longest), self._pad, dtype=np.int64)
        mask = np.zeros((len(ids), longest), dtype=np.int64)
        for row, found in enumerate(ids):
            tokens[row, : len(found)] = found
            mask[row, : len(found)] = 1
        logits: NDArray[np.float32] = self._session.run(["logits"], {"input_ids": tokens, "attention_mask": mask})[0]
        return logits

    def _prepared(self, item: Message) -> Prepared:
        found = pre_score(self.filters, item.text, item.headers)
        reason = None if found.reason else skip_reason(self.custom, found.text, item.headers)
        return Prepared("", reason) if reason else found

    def _answers(self, texts: Sequence[str]) -> Iterator[Scored]:
        """The answers to texts that were not skipped; what can be computed for all at once is."""
        logits = self.logits(texts)
        chances, strange = softmax(logits).tolist(), (energy(logits) > self.highest_energy).tolist()
        for text, best, row, out_of_scope in zip(texts, logits.argmax(axis=1).tolist(), chances, strange, strict=True):
            label, score = self.labels[best], row[best]
            reason = post_score(self.filters, score, out_of_scope) or abstain_reason(self.custom, text, label, score)
            yield Scored(label, score, dict(zip(self.labels, row, strict=True)), "abstained" if reason else "scored", reason)


def energy(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unlike the training data texts are, of their calibrated logits (..., labels); as `headgate.model.calibration.energy`."""
    highest = logits.max(axis=-1)
    found: NDArray[np.float64] = -highest - np.log(np.exp(logits - highest[..., None]).sum(axis=-1))
    return found


def _bound(scores: Sequence[float], share: float) -> float:
    """The energy that this share of held-out rows exceeds; infinite where they are too few to tell, or the share is 0."""
    return float(np.quantile(scores, 1 - share)) if share * len(scores) >= 1 else float("inf")


def groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of similar length: at most 16 and 256 tokens, none shorter than three quarters of the group's longest.

    More tokens at a time would not be faster, and take memory that the process keeps: 250 MB for 16 rows of 256.
    """
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if group and (
            len(group) == MAX_GROUP or (len(group) + 1) * lengths[group[0]] > MAX_TOKENS or lengths[row] < MIN_FILL * lengths[group[0]]
        ):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of each row of logits."""
    if not len(logits):
        return logits
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def open_session(model: str | bytes, threads: int) -> Any:
    """An ONNX Runtime session of a file or of its content; the fused SkipLayerNormalization is seven times slower on a CPU."""
    options = _options(threads)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"])


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # it keeps a plan for every shape of a batch: 10 MB, and no faster
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not _multiplies_eight_bits():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _multiplies_eight_bits() -> bool:
    """Whether the CPU adds products of eight bits exactly; an x86 without VNNI has to be told to, or it saturates at 16 bits."""
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
