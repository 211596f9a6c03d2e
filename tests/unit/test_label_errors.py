"""Wrong labels are suspected by what a linear model, cross-validated, says of their texts."""

import numpy as np
import pytest

from headgate.model.label_errors import folds_of, suspected_labels

ABOUT = {
    "price": ["too expensive", "no budget left", "the price is high", "we cannot pay that", "costs more than planned"],
    "meeting": ["let us talk on monday", "send me an invite", "call me tomorrow", "can we meet next week", "book a slot with me"],
    "stop": ["remove me from the list", "do not write again", "unsubscribe me please", "stop these mails", "take my address off"],
}


def rows(count: int = 300) -> tuple[list[str], list[str], list[str]]:
    dice = np.random.default_rng(0)
    labels = [list(ABOUT)[n % 3] for n in range(count)]
    texts = [f"{dice.choice(ABOUT[label])}, {dice.choice(ABOUT[label])} {n}" for n, label in enumerate(labels)]
    return [f"r{n}" for n in range(count)], texts, labels


def test_flipped_labels_are_listed_first_with_the_label_that_they_look_like() -> None:
    ids, texts, labels = rows()
    labels[10], labels[20] = "stop", "price"  # meeting and stop
    found = suspected_labels(ids, texts, labels, np.arange(len(ids)))
    told = {one.id: (one.label, one.suggested_label) for one in found.suspects[:2]}
    assert told == {"r10": ("stop", "meeting"), "r20": ("price", "stop")}
    assert all(one.margin > 0.5 for one in found.suspects[:2])
    assert len(found.suspects) <= 4
    assert len(found.ids) == len(ids)


def test_a_wrong_row_is_not_vouched_for_by_its_own_thread() -> None:
    ids, texts, labels = rows()
    wrong = {f"r{n}" for n in range(0, 60, 3)}
    texts = ["quux frobnicate the wibble" if row_id in wrong else text for row_id, text in zip(ids, texts, strict=True)]
    apart = suspected_labels(ids, texts, labels, np.arange(len(ids)))
    together = suspected_labels(ids, texts, labels, np.array([0 if row_id in wrong else n + 1 for n, row_id in enumerate(ids)]))
    assert not wrong & {one.id for one in apart.suspects}
    assert len(together.ids) == len(ids)
    folds = folds_of(np.arange(300) % 3, np.array([0 if row_id in wrong else n + 1 for n, row_id in enumerate(ids)]), 0)
    assert len({folds[int(row_id[1:])] for row_id in wrong}) == 1


def test_of_many_rows_a_sample_is_judged_and_the_new_ones_always() -> None:
    ids, texts, labels = rows()
    first = np.array([n % 10 == 0 for n in range(300)])
    found = suspected_labels(ids, texts, labels, np.arange(300), first, most=100)
    assert len(found.ids) == 100
    assert {row_id for row_id, new in zip(ids, first, strict=True) if new} <= set(found.ids)


def test_a_label_that_one_group_has_alone_is_not_judged() -> None:
    ids, texts, labels = rows(90)
    groups = np.arange(90)
    labels[0] = labels[1] = "odd"
    groups[1] = groups[0]
    assert not {"r0", "r1"} & set(suspected_labels(ids, texts, labels, groups).ids)


@pytest.mark.parametrize("labels", [["a"] * 6, list("abcdef"), []])
def test_where_nothing_can_be_learnt_nothing_is_suspected(labels: list[str]) -> None:
    ids = [f"r{n}" for n in range(len(labels))]
    found = suspected_labels(ids, [f"text of {row}" for row in ids], labels, np.arange(len(labels)))
    assert (found.suspects, found.ids) == ((), ())
