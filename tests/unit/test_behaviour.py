"""Behavioural tests: what falls, what is tolerated, and a file that says what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headgate.errors import BadInput
from headgate.evaluation.behaviour import BehaviourRow, behaviour_version, measure_behaviours, read_behaviour, texts_to_score

FILE = Path("examples/replies/behaviour.jsonl")


def row(name: str, text: str, changed: str, **more: Any) -> BehaviourRow:
    return BehaviourRow(name=name, kind=more.pop("kind", "invariance"), text=text, changed=changed, **more)


def answers(said: dict[str, str | None]) -> pd.DataFrame:
    outcomes = ["skipped" if label is None else "scored" for label in said.values()]
    return pd.DataFrame({"text": list(said), "predicted": list(said.values()), "outcome": outcomes}, dtype=object)


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "behaviour.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_an_invariance_row_falls_where_the_label_changes() -> None:
    rows = [row("case", "yes", "YES"), row("case", "no", "NO", tolerance=0.4), row("names", "hi Ann", "hi Bob")]
    said = answers({"yes": "positive", "YES": "other", "no": "other", "NO": "other", "hi Ann": "other", "hi Bob": "other"})
    case, names = measure_behaviours(rows, said)
    assert (case.rows, case.fell, case.champion_fell, case.tolerance, case.verdict) == (2, 1, None, 0.4, "failed")
    assert [(one.text, one.changed, one.said, one.said_of_changed) for one in case.cases] == [("yes", "YES", "positive", "other")]
    assert (names.fell, names.tolerance, names.verdict) == (0, 0.1, "passed")


@pytest.mark.parametrize(
    ("expected", "said_of_changed", "fell"),
    [
        ("objection", "objection/no_need", 0),
        ("objection", "objection", 0),
        ("objection", "objections", 1),
        ("objection/budget", "objection/no_need", 1),
        ("!positive", "unsubscribe", 0),
        ("!positive", "positive", 1),
        ("!positive", None, 1),
        (None, "other", 0),
        (None, "positive", 1),
    ],
)
def test_a_directional_row_falls_where_the_label_is_not_the_expected_one(expected: str, said_of_changed: str | None, fell: int) -> None:
    rows = [row("not interested", "yes", "yes. not interested", kind="directional", expected=expected)]
    (found,) = measure_behaviours(rows, answers({"yes": "positive", "yes. not interested": said_of_changed}))
    assert found.fell == fell


def test_a_text_that_is_skipped_only_when_changed_falls() -> None:
    rows = [row("signature", "yes", "yes\n-- \nAnn")]
    (found,) = measure_behaviours(rows, answers({"yes": "positive", "yes\n-- \nAnn": None}))
    assert (found.fell, found.cases[0].said_of_changed) == (1, "(skipped)")
    assert measure_behaviours(rows, answers({"yes": None, "yes\n-- \nAnn": None}))[0].fell == 0


def test_the_champions_number_stands_beside_it() -> None:
    rows = [row("case", "yes", "YES")]
    (found,) = measure_behaviours(rows, answers({"yes": "a", "YES": "a"}), answers({"yes": "a", "YES": "b"}))
    assert (found.fell, found.champion_fell, found.verdict) == (0, 1, "passed")


def test_exactly_the_tolerated_share_passes() -> None:
    rows = [row("typos", f"yes {i}", f"yess {i}", tolerance=0.3) for i in range(10)]
    said: dict[str, str | None] = dict.fromkeys([f"yes {i}" for i in range(10)], "a")
    said |= {f"yess {i}": "b" if i < 3 else "a" for i in range(10)}
    assert measure_behaviours(rows, answers(said))[0].verdict == "passed"
    assert measure_behaviours(rows, answers(said | {"yess 9": "b"}))[0].verdict == "failed"


def test_a_text_without_an_answer_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^behavioural test case: 1 rows have no answer; score texts_to_score\(rows\) with each model$"):
        measure_behaviours([row("case", "yes", "YES")], answers({"yes": "a"}))


def test_every_text_is_scored_once() -> None:
    rows = [row("case", "yes", "YES"), row("names", "yes", "yes Bob")]
    frame = texts_to_score(rows)
    assert frame["text"].tolist() == ["yes", "YES", "yes Bob"]
    assert frame["id"].is_unique
    assert behaviour_version("d", rows).rows == 3
    assert behaviour_version("d", rows).digest != behaviour_version("d", rows[:1]).digest


def test_faults_of_a_file_are_listed_with_their_lines(tmp_path: Path) -> None:
    good = {"name": "case", "kind": "invariance", "text": "yes", "changed": "YES"}
    lines = [good, good | {"changed": "yes"}, good | {"kind": "odd"}, good | {"expected": "positive"}, good | {"tolerance": 2}]
    with pytest.raises(BadInput) as refused:
        read_behaviour(written(tmp_path, *map(json.dumps, lines), "no json"))
    assert str(refused.value).splitlines() == [
        "behaviour.jsonl: expected rows with name, kind, text and changed, found 5 fault(s):",
        "  line 2: row: Value error, `changed` is the same as `text`",
        "  line 3: kind: Input should be 'invariance' or 'directional'",
        "  line 4: row: Value error, `expected` belongs to directional rows; an invariance row expects the label of `text`",
        "  line 5: tolerance: Input should be less than or equal to 1",
        "  line 6: no JSON: Expecting value: line 1 column 1 (char 0)",
    ]


def test_rows_of_one_test_have_one_tolerance_and_one_kind(tmp_path: Path) -> None:
    first = {"name": "case", "kind": "invariance", "text": "yes", "changed": "YES", "tolerance": 0.1}
    with pytest.raises(BadInput, match=r"found 1 fault\(s\):\n  case: its rows differ in tolerance; give one of them another name$"):
        read_behaviour(written(tmp_path, json.dumps(first), json.dumps(first | {"tolerance": 0.2})))


def test_an_empty_file_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"found 0 fault\(s\):\n  no row$"):
        read_behaviour(written(tmp_path, ""))
    with pytest.raises(BadInput, match=r"^expected a file of behavioural tests, found none at .*correct behaviour_rows in headgate.toml$"):
        read_behaviour(tmp_path / "missing.jsonl")


def test_the_example_file_covers_the_behaviours_of_replies() -> None:
    rows = read_behaviour(FILE)
    names = {one.name for one in rows}
    assert names == {
        "another name",
        "another signature",
        "quoted history",
        "letter case",
        "a typo",
        "not interested added",
        "take me off added",
    }
    assert all(sum(one.name == name for one in rows) >= 10 for name in names)
    regression = {json.loads(line)["text"] for line in FILE.with_name("regression.jsonl").read_text(encoding="utf-8").splitlines()}
    assert not regression & {text for one in rows for text in (one.text, one.changed)}
