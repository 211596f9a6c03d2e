"""The model card says what was chosen and why, how sure its probabilities are, and what it leaves unread."""

from typing import Any

from headgate.model.card import model_card

OLD: dict[str, Any] = {"labels": ["no", "yes"], "parameters": {"epochs": 5, "max_length": 65}, "temperature": 1.0, "history": []}
CHOICE = {
    "method": "linear-head",
    "why": "With 40 rows a linear head was right more often than fine-tuning.",
    "candidates": [
        {"candidate": "fine-tune", "metric": "macro-F1", "score": 0.61},
        {"candidate": "linear-head", "metric": "macro-F1", "score": 0.7},
    ],
    "folds": 5,
    "epochs": None,
    "class_weight": "balanced",
    "label_names": True,
    "lexical_scale": 2.0,
}
VALIDATION = {"rows": 40, "ece_before": 0.1234, "ece_after": 0.0181, "temperature": 1.41}
NEW = OLD | {"choice": CHOICE, "validation": VALIDATION, "temperature": 1.41}


def test_the_choice_is_told_with_its_reason_and_what_else_was_tried() -> None:
    card = model_card("Replies", NEW, {})
    assert "A linear head on the embeddings of the encoder as it was published" in card
    assert (
        "## What was chosen, and why\n\n"
        "Chosen: **linear-head**, class weights balanced, label names trained on as rows, n-grams beside the encoder (scale 2). "
        "With 40 rows a linear head was right more often than fine-tuning.\n\n"
        "Compared on training rows, held out in 5 folds:\n\n"
        "| candidate | measured | score |\n| --- | --- | --- |\n| fine-tune | macro-F1 | 0.6100 |\n| linear-head | macro-F1 | 0.7000 |\n"
    ) in card


def test_a_choice_without_a_comparison_is_told_without_a_table() -> None:
    given = {"method": "fine-tune", "why": "It was asked for", "candidates": [], "folds": None, "epochs": 3, "class_weight": None}
    card = model_card("Replies", NEW | {"choice": given}, {})
    assert "Chosen: **fine-tune**, class weights none, 3 epochs. It was asked for.\n\n## Quality" in card


def test_weights_between_the_linear_head_and_the_fine_tuned_ones_are_told() -> None:
    given = CHOICE | {"method": "fine-tune", "fine_tuned_share": 0.3, "epochs": 8}
    card = model_card("Replies", NEW | {"choice": given}, {})
    assert "Chosen: **fine-tune**, 30% of the way from the linear head to the fine-tuned weights, class weights balanced, 8 epochs" in card


def test_calibration_is_told_in_numbers() -> None:
    assert (
        "## Calibration\n\nTemperature 1.410, fitted on 40 training rows that were held out. "
        "Expected calibration error there (mean gap between probability and share right): 0.123 before, 0.018 after."
    ) in model_card("Replies", NEW, {})


def test_a_record_of_an_older_headgate_gives_a_card_that_does_not_boast() -> None:
    card = model_card("Replies", OLD, {})
    assert "Fine-tuned with plain PyTorch" in card
    assert "What was chosen" not in card
    assert "Not calibrated: no rows were held out for it." in card


def test_what_is_read_of_a_long_text_is_told() -> None:
    assert "A text of more than 65 tokens is read at its head and its tail only. That is its first 32 tokens and its last 33" in model_card(
        "Replies", OLD, {}
    )


def test_without_metrics_the_card_points_to_the_regression_test_and_its_linear_floor() -> None:
    card = model_card("Replies", NEW, {})
    assert "Measured in the regression test of each release, not here, beside a TF-IDF + linear model" in card
    assert "(gate `beats_linear_floor`)" in card


def test_labels_of_any_characters_stay_on_their_line() -> None:
    card = model_card("Odd", OLD | {"labels": ["a`b", "two\nlines", "# no heading", "日本語"]}, {})
    assert "## Labels\n\n- `` a`b ``\n- `two\\nlines`\n- `# no heading`\n- `日本語`\n\n## Training" in card


def test_the_same_record_gives_the_same_card() -> None:
    assert model_card("Replies", NEW, {"commit": "c0ffee"}) == model_card("Replies", NEW, {"commit": "c0ffee"})


def test_provenance_is_told_in_rows_and_says_nothing_twice() -> None:
    train = {"epochs": 5, "max_length": 65, "seed": 7}
    origin = {"commit": None, "dirty": False, "data_version": {"file": "a.jsonl", "rows": 3}, "train": train}
    assert model_card("Replies", OLD, origin).endswith(
        "## Provenance\n\n| of | value |\n| --- | --- |\n| commit | unknown |\n| data_version.file | a.jsonl |\n"
        "| data_version.rows | 3 |\n| dirty | false |\n| train.seed | 7 |\n"
    )
