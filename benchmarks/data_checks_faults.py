"""Faults as they come with a batch of annotations, planted into clean rows."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

ACCENTS = str.maketrans({"e": "é", "a": "à", "o": "ö", "'": "\N{RIGHT SINGLE QUOTATION MARK}"})


@dataclass(frozen=True)
class Trial:
    """A version, the batch that comes next, the frozen rows, rows that are left over, texts in German, and the dice."""

    before: pd.DataFrame
    batch: pd.DataFrame
    regression: pd.DataFrame
    left: pd.DataFrame
    german: list[str]
    dice: random.Random

    @property
    def labels(self) -> list[str]:
        """All labels, sorted."""
        return sorted(set(self.before["label"]))

    def some(self, share: float) -> list[int]:
        """Positions of a share of the batch."""
        return self.dice.sample(range(len(self.batch)), max(1, round(share * len(self.batch))))

    def after(self, batch: pd.DataFrame) -> pd.DataFrame:
        """The version with the batch in it."""
        return pd.concat([self.before, batch], ignore_index=True)


def flipped(share: float) -> Callable[[Trial], pd.DataFrame]:
    """So many labels of the batch become another label at random."""

    def plant(trial: Trial) -> pd.DataFrame:
        return _changed(trial, share, "label", lambda row: trial.dice.choice([label for label in trial.labels if label != row["label"]]))

    return plant


def one_label_flipped(trial: Trial) -> pd.DataFrame:
    """Somebody takes one label for another: all rows of a common label of the batch get it."""
    wrong = Counter(trial.batch["label"]).most_common(1)[0][0]
    other = trial.dice.choice([label for label in trial.labels if label != wrong])
    return trial.after(trial.batch.assign(label=trial.batch["label"].replace(wrong, other)))


def dropped(trial: Trial) -> pd.DataFrame:
    """All rows of a label are gone."""
    gone, whole = trial.dice.choice(trial.labels), trial.after(trial.batch)
    return whole[whole["label"] != gone].reset_index(drop=True)


def misspelt(trial: Trial) -> pd.DataFrame:
    """A tenth of the batch has labels in another case, or with two letters swapped."""

    def wrong(row: pd.Series) -> str:
        label, at = row["label"], len(row["label"]) // 2
        return (
            label.upper() if trial.dice.random() < 0.5 or len(label) < 5 else label[: at - 1] + label[at] + label[at - 1] + label[at + 1 :]
        )

    return _changed(trial, 0.1, "label", wrong)


def in_german(trial: Trial) -> pd.DataFrame:
    """A fifth of the batch is in German."""
    return _changed(trial, 0.2, "text", lambda _: trial.dice.choice(trial.german))


def cut_off(trial: Trial) -> pd.DataFrame:
    """Half of the batch lost all but its first third."""
    return _changed(trial, 0.5, "text", lambda row: row["text"][: max(3, len(row["text"]) // 3)])


def one_sided(trial: Trial) -> pd.DataFrame:
    """Two fifths of the batch are rows of one label; where no rows are left over, rows of the others are missing instead."""
    if not len(trial.left):
        label, batch = trial.batch["label"].mode()[0], trial.batch
        mine = batch[batch["label"] == label]
        return trial.after(pd.concat([mine, batch[batch["label"] != label].head(round(1.5 * len(mine)))], ignore_index=True))
    label = trial.dice.choice(trial.left["label"].value_counts().index[:10].tolist())
    more = trial.left[trial.left["label"] == label].head(round(0.4 * len(trial.batch)))
    return trial.after(pd.concat([trial.batch.iloc[len(more) :], more], ignore_index=True))


def near_copies(trial: Trial) -> pd.DataFrame:
    """A fifth of the batch are regression rows with another case, other punctuation, and one word replaced."""
    long = trial.regression[trial.regression["text"].str.len() > 30]
    return _replaced(trial, 0.2, long, lambda text: _reworded(text, trial.dice))


def exact_copies(trial: Trial) -> pd.DataFrame:
    """Three rows of the batch are regression rows as they are."""
    return _replaced(trial, 3 / len(trial.batch), trial.regression, str)


def contradicted(trial: Trial) -> pd.DataFrame:
    """A twentieth of the batch are rows that are there already, with another label."""
    found = _replaced(trial, 0.05, trial.before, str)
    twice = found["text"].duplicated() & (found.index >= len(trial.before))
    labels = trial.labels
    return found.assign(label=found["label"].where(~twice, found["label"].map(lambda label: labels[labels.index(label) - 1])))


def with_contacts(trial: Trial) -> pd.DataFrame:
    """A tenth of the batch ends with an address and a number."""
    return _changed(
        trial,
        0.1,
        "text",
        lambda row: f"{row['text']} - Jo, jo{trial.dice.randrange(999)}@example.org, +44 20 7946 0{trial.dice.randrange(100, 999)}",
    )


def with_a_card(trial: Trial) -> pd.DataFrame:
    """One row holds the number of a card, one that of an account."""
    numbers = iter(("4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32"))
    return _changed(trial, 2 / len(trial.batch), "text", lambda row: f"{row['text']} {next(numbers)}")


def mojibake(trial: Trial) -> pd.DataFrame:
    """A twentieth of the batch was UTF-8 read as Windows-1252."""

    def damaged(row: pd.Series) -> str:
        return row["text"].translate(ACCENTS).encode().decode("cp1252", "replace")

    return _changed(trial, 0.05, "text", damaged)


def twice_encoded(trial: Trial) -> pd.DataFrame:
    """A fifth of the batch was read wrong twice."""

    def damaged(row: pd.Series) -> str:
        return row["text"].translate(ACCENTS).encode().decode("latin-1").encode().decode("latin-1")

    return _changed(trial, 0.2, "text", damaged)


def one_lost_character(trial: Trial) -> pd.DataFrame:
    """One row has a replacement character."""
    return _changed(trial, 1 / len(trial.batch), "text", lambda row: row["text"][:-1] + "\N{REPLACEMENT CHARACTER}")


def flooded(trial: Trial) -> pd.DataFrame:
    """Two fifths of the batch are one text with a changing number."""

    def same(_: pd.Series) -> str:
        return f"Please look at ticket {trial.dice.randrange(10**6)} before the end of the day, thank you"

    return _changed(trial, 0.4, "text", same)


def clean(trial: Trial) -> pd.DataFrame:
    """Nothing."""
    return trial.after(trial.batch)


# The fault, how it is planted, and the checks that should find it.
SUSPECTS = ("label_errors_new", "label_errors_by_label", "label_errors")
FAULTS: dict[str, tuple[Callable[[Trial], pd.DataFrame], tuple[str, ...]]] = {
    "5% of the batch's labels flipped": (flipped(0.05), SUSPECTS),
    "10% flipped": (flipped(0.10), SUSPECTS),
    "20% flipped": (flipped(0.20), SUSPECTS),
    "one label taken for another": (one_label_flipped, (*SUSPECTS, "label_drift")),
    "a label dropped": (dropped, ("labels_vanished",)),
    "labels misspelt (10%)": (misspelt, ("labels_alike",)),
    "20% in German": (in_german, ("language_drift",)),
    "50% cut to a third": (cut_off, ("length_drift",)),
    "40% of one label": (one_sided, ("label_drift", "label_drift_overall", "label_shares")),
    "20% reworded regression rows": (near_copies, ("regression_copies_new", "regression_copies")),
    "3 regression rows": (exact_copies, ("regression_rows",)),
    "5% contradict earlier rows": (contradicted, ("conflicts_new", "conflicts_rare", "conflicts")),
    "10% with e-mail and phone": (with_contacts, ("contact_data",)),
    "a card and an account number": (with_a_card, ("sensitive_data",)),
    "5% mojibake": (mojibake, ("encoding_damage", "encoding_damage_new")),
    "20% mojibake, twice": (twice_encoded, ("encoding_damage", "encoding_damage_new")),
    "one replacement character": (one_lost_character, ("encoding_damage", "encoding_damage_new")),
    "40% one text": (flooded, ("repeats_new",)),
}


def _changed(trial: Trial, share: float, column: str, change: Callable[[pd.Series], str]) -> pd.DataFrame:
    batch = trial.batch.copy()
    for row in trial.some(share):
        batch.loc[row, column] = change(batch.loc[row])
    return trial.after(batch)


def _replaced(trial: Trial, share: float, source: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Text and label of other rows in place of a share of the batch's own."""
    batch, rows = trial.batch.copy(), trial.some(share)
    for row, other in zip(rows, trial.dice.sample(range(len(source)), len(rows)), strict=True):
        batch.loc[row, ["text", "label"]] = [change(source.iloc[other]["text"]), source.iloc[other]["label"]]
    return trial.after(batch)


def _reworded(text: str, dice: random.Random) -> str:
    words = text.split()
    words[dice.randrange(len(words))] = dice.choice(["please", "really", "today", "maybe", "again"])
    joined = " ".join(words)
    return dice.choice([joined.upper(), joined.lower(), joined.capitalize()]).rstrip(".?!") + dice.choice(["...", "!!", "?", ""])
