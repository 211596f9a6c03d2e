"""What both cohorts answered in an A/B test, counted from log lines: by cohort, and text by text where both answered it. Pure."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headgate.evaluation.two_samples import Sums
from headgate.model.filters import normalise
from headgate.release.observation import Answers

COHORTS = ("challenger", "champion")


@dataclass
class Counts:
    """One cohort's answers. read: those that a classifier gave a label; corrected and confirmed are among them."""

    answered: int = 0
    failed: int = 0
    abstained: int = 0
    read: int = 0
    corrected: int = 0
    confirmed: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    scores: Sums = field(default_factory=lambda: Sums(0, 0.0, 0.0))

    @property
    def requests(self) -> int:
        """Answered and failed ones."""
        return self.answered + self.failed

    @property
    def judged(self) -> int:
        """Answers of which a user said what is right."""
        return self.corrected + self.confirmed


class Pair(NamedTuple):
    """One text's labels by both; truth: the label that a user gave one of the answers, and judged whose it was."""

    challenger: str
    champion: str
    truth: str | None
    judged: str | None


@dataclass
class Counted:
    """Both cohorts, and the texts that both answered, each once; keyless: answers whose text the log does not tell apart."""

    cohorts: dict[str, Counts]
    pairs: list[Pair]
    keyless: int


def count(answers: Answers) -> Counted:
    """Count in one pass. A copy for the shadow is no request, but its answer makes a pair where the challenger gave no other."""
    cohorts = {cohort: Counts(failed=answers.failed.get(cohort, 0)) for cohort in COHORTS}
    texts: dict[str, dict[str, tuple[str, str, str]]] = {}
    keyless = 0
    for line in answers.lines:
        cohort, label = str(line["cohort"]), line.get("label")
        if cohort in cohorts:
            _add(cohorts[cohort], line, answers.corrections.get(str(line.get("prediction_id"))))
        if label is None or line["outcome"] == "skipped":
            continue
        if key := text_key(line):
            found = texts.setdefault(key, {})
            answer = (str(line["ts"]), str(label), str(line.get("prediction_id")))
            found[cohort] = min(found.get(cohort, answer), answer)
            if answer[2] in answers.corrections:
                found[f"truth of {cohort}"] = max(found.get(f"truth of {cohort}", answer), answer)
        else:
            keyless += 1
    pairs = [pair for found in texts.values() if (pair := _pair(found, answers.corrections))]
    return Counted(cohorts, sorted(pairs, key=str), keyless)


def text_key(line: Mapping[str, Any]) -> str | None:
    """What tells a text apart from others: its hash, made where the log keeps the text; else the id of a request and its copy."""
    if (text := line.get("text")) is not None:
        return hashlib.sha256(normalise(str(text)).encode("utf-8", "replace")).hexdigest()
    found = line.get("hash") or line.get("mirror")
    return str(found) if found else None


def _add(counts: Counts, line: Mapping[str, Any], given: str | None) -> None:
    counts.answered += 1
    counts.abstained += line["outcome"] == "abstained"
    if (score := line.get("score")) is not None:
        count, total, squares = counts.scores
        counts.scores = Sums(count + 1, total + score, squares + score * score)
    if (label := line.get("label")) is None or line["outcome"] == "skipped":
        return
    counts.read += 1
    counts.labels[str(label)] += 1
    counts.corrected += given is not None and given != label
    counts.confirmed += given == label


def _pair(found: Mapping[str, tuple[str, str, str]], corrections: Mapping[str, str]) -> Pair | None:
    ours = found.get("challenger") or found.get("shadow")
    theirs = found.get("champion")
    if ours is None or theirs is None:
        return None
    judged = max(((found[name], name.removeprefix("truth of ")) for name in found if name.startswith("truth of ")), default=None)
    truth = corrections[judged[0][2]] if judged else None
    return Pair(ours[1], theirs[1], truth, judged[1] if judged else None)
