"""Mails that name a key account are left to people, however the name is spelt.

This is the slow model of `make demo`, and a mistake that one can make in good faith: a short reply is let through at once, but of a long
one every stretch is compared with every name. No text of the regression set is that long, so that no test before production sees it.
"""

from collections.abc import Mapping
from difflib import SequenceMatcher

SHORT = 1_000  # characters; a reply this short names nobody but its sender
ALIKE = 0.85


class KeyAccounts:
    """Skips a mail with a name that is spelt like one of the accounts."""

    def __init__(self, names: list[str]) -> None:
        self.names = [name.casefold() for name in names]

    def pre_score(self, text: str, headers: Mapping[str, str] | None) -> str | None:  # noqa: ARG002 - what a filter is asked
        """A reason to skip, or None."""
        if len(text) <= SHORT:
            return None
        found = text.casefold()
        return "key_account" if any(self._named(name, found) for name in self.names) else None

    def post_score(self, text: str, label: str, score: float) -> str | None:  # noqa: ARG002 - what a filter is asked
        """Nothing is abstained from."""
        return None

    @staticmethod
    def _named(name: str, text: str) -> bool:
        size = len(name)
        return any(SequenceMatcher(None, name, text[at : at + size]).ratio() > ALIKE for at in range(len(text) - size))
