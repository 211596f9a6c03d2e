"""Near copies are found whatever their case, punctuation and numbers, and keep rows on one side."""

import random

import numpy as np
import pytest

from headgate.data.near_duplicates import ALIKE, NearTexts, gist, near_copies, near_groups

SENTENCE = "please send the signed offer to our office before friday so that we can talk about price terms and delivery again"
WORDS = SENTENCE.split()
TEXT = "We looked at your offer last week and the price is too high for us."


@pytest.mark.parametrize(
    "copy",
    [
        TEXT.upper(),
        TEXT.replace(" ", "\n").rstrip("."),
        TEXT.replace("last week", "last month"),
        TEXT + " Thanks!",
        "\uff37" + TEXT[1:],
    ],
)
def test_another_case_punctuation_or_word_is_still_the_same_text(copy: str) -> None:
    assert near_copies([copy], [TEXT, "something else altogether, nobody knows what"]).tolist() == [True]


def test_other_texts_are_not_alike_and_short_ones_never_are() -> None:
    others = ["We looked at another offer and took it.", "no, thank you", "ok"]
    assert near_copies(others, [TEXT, "no, thank you!", "ok"]).tolist() == [False, False, False]


def test_numbers_do_not_tell_long_texts_apart_but_short_ones() -> None:
    assert gist("I want to cancel order 732201349959") == gist("i want to cancel order 17!")
    assert gist("step 1") != gist("step 2")


def test_groups_hold_what_is_alike_directly_or_by_way_of_others() -> None:
    chain = [" ".join(WORDS[start : start + 14]) for start in range(4)]
    groups = near_groups([*chain, TEXT, "ok", "OK!", "no"])
    assert len(set(groups[:4].tolist())) == 1
    assert groups[5] == groups[6]
    assert len(set(groups.tolist())) == 4


def test_a_thread_with_a_near_copy_of_another_thread_is_one_group_with_it() -> None:
    groups = near_groups([TEXT, "unrelated words one", TEXT.lower(), "unrelated words two", "alone"], ["t1", "t1", "t2", "t2", "t3"])
    assert len(set(groups[:4].tolist())) == 1
    assert groups[4] not in groups[:4]


def test_every_pair_at_the_bound_is_found_as_an_exact_comparison_finds_it() -> None:
    dice = random.Random(0)
    base = [" ".join(dice.choices(WORDS, k=12)) for _ in range(60)]
    texts = base + [text.replace(dice.choice(text.split()), "maybe") for text in base]
    grams = [{gist(text)[n : n + 4] for n in range(len(gist(text)) - 3)} for text in texts]
    exact = [any(len(mine & theirs) / len(mine | theirs) >= ALIKE for theirs in grams[:60]) for mine in grams[60:]]
    assert 10 < sum(exact) < 60
    assert [found is not None for found in NearTexts(base).like(texts[60:])] == exact


def test_groups_are_the_same_in_every_run_and_nothing_has_none() -> None:
    texts = [" ".join(random.Random(n).choices(WORDS, k=8)) for n in range(100)]
    assert np.array_equal(near_groups(texts), near_groups(texts))
    assert near_groups([]).tolist() == []
    assert near_groups([], []).tolist() == []
    assert near_copies(["a"], []).tolist() == [False]
