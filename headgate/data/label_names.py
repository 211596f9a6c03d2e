"""Labels that are probably one label, written in two ways."""

import re
from collections.abc import Collection

FEWEST_LETTERS = 4


def misspelt(new: Collection[str], known: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of a new label and a known or another new one that differ in case, punctuation or one letter of one word, sorted."""
    pairs = {(label, other) for label in new for other in sorted({*known, *new}) if label != other and _alike(label, other)}
    return sorted((label, other) for label, other in pairs if other in known or (other, label) not in pairs or label > other)


def _alike(first: str, second: str) -> bool:
    one, other = _words(first), _words(second)
    if "".join(one) == "".join(other):
        return True
    different = [pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]]
    return len(one) == len(other) and len(different) == 1 and _typo(*different[0])


def _words(label: str) -> list[str]:
    return re.findall(r"[^\W_]+", label.casefold())


def _typo(first: str, second: str) -> bool:
    """Whether one letter was left out, added, changed or swapped with the next; digits and short words tell labels apart on purpose."""
    if min(len(first), len(second)) < FEWEST_LETTERS or not (first.isalpha() and second.isalpha()):
        return False
    longer, shorter = sorted((first, second), key=len, reverse=True)
    start = next((n for n, (a, b) in enumerate(zip(longer, shorter, strict=False)) if a != b), len(shorter))
    if len(longer) == len(shorter):
        swapped = longer[start : start + 2] == shorter[start : start + 2][::-1] and longer[start + 2 :] == shorter[start + 2 :]
        return swapped or longer[start + 1 :] == shorter[start + 1 :]
    return longer[start + 1 :] == shorter[start:]
