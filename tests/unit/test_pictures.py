"""Pictures show what they promise, in both themes, up to many labels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headgate.evaluation import pictures
from headgate.evaluation.metrics import measure
from headgate.evaluation.report import Metrics


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    truth = ["objection/budget"] * 3 + ["objection/timing"] * 2 + ["positive"] * 5
    predicted = ["objection/budget", "objection/budget", "positive", "objection/timing", "objection/budget", *["positive"] * 5]
    return measure(truth, predicted, ["scored"] * 10, [0.9, 0.8, 0.6, 0.7, 0.4, *[0.95] * 5])


def words(figure: pictures.Figure) -> list[str]:
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts]


def size(picture: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture)).size


def test_a_confusion_matrix_tells_counts_shares_and_errors_of_each_label(metrics: Metrics) -> None:
    figure = pictures.confusion_figure([("Candidate", metrics)])
    (axes,) = figure.axes
    assert {"TP 2   FN 1", "recall 67%", "FP 1", "prec 67%", "TP 5   FN 0", "recall 100%", "33%"} <= set(words(figure))
    assert axes.get_title(loc="left") == f"Candidate: accuracy 80.0%, macro-F1 {metrics.macro_f1:.1%}"
    assert [label.get_text() for label in axes.get_yticklabels()] == list(metrics.label_names)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_paper_has_the_colour_of_the_theme(metrics: Metrics, theme: pictures.Theme) -> None:
    picture = Image.open(io.BytesIO(pictures.png(pictures.reliability_figure([("Candidate", metrics)], theme)))).convert("RGB")
    assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel((1, 1))) == pictures.PALETTES[theme].paper  # type: ignore[misc]


def test_equal_figures_give_equal_bytes(metrics: Metrics) -> None:
    first, second = (pictures.png(pictures.confusion_figure([("Candidate", metrics)])) for _ in range(2))
    assert first == second


def test_150_labels_leave_out_the_numbers_and_stay_a_picture_of_sane_size() -> None:
    rng = np.random.default_rng(0)
    truth = [f"label-{i:03}" for i in range(150)] * 3
    predicted = [t if rng.random() < 0.8 else str(rng.choice(truth)) for t in truth]
    figure = pictures.confusion_figure([("Candidate", measure(truth, predicted, ["scored"] * 450))])
    assert words(figure) == []
    assert max(size(pictures.png(figure))) < 5000


def test_a_regression_test_writes_both_levels_side_by_side(metrics: Metrics, tmp_path: Path) -> None:
    assert pictures.draw_regression(metrics, metrics, tmp_path) == ("confusion.png", "reliability.png", "confusion_top.png")
    alone = size(pictures.png(pictures.confusion_figure([("Candidate", metrics)])))
    both = size((tmp_path / "confusion.png").read_bytes())
    assert both[0] > 1.8 * alone[0]


def test_flat_labels_have_no_picture_of_a_first_level(tmp_path: Path) -> None:
    flat = measure(["a", "b"], ["a", "b"], ["scored"] * 2, [0.9, 0.9])
    assert pictures.draw_regression(flat, None, tmp_path) == ("confusion.png", "reliability.png")
