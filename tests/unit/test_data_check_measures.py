"""Each fault that a batch can bring fails its own check, and a clean batch none; what was found is told by ids and kinds."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from data_checks.annotations import check_annotations
from data_checks.measures import Measure, measures
from data_checks.signs import signs_of
from headgate.settings import DataChecks

ABOUT = {
    "price": "expensive budget price costs money discount invoice quote spend cheaper".split(),  # noqa: SIM905 - reads better
    "meeting": "monday calendar invite call meet slot afternoon agenda zoom office".split(),  # noqa: SIM905
    "stop": "remove unsubscribe list address mails spam stop delete forget never".split(),  # noqa: SIM905
}
ALL = "the your about with from please would could this that have been into more some then when were what very".split()  # noqa: SIM905
SECRETS = ("jo.doe@example.org", "+44 20 7946 0958", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32")
Batch = pd.DataFrame


@cache
def rows(count: int, seed: int, start: int = 0) -> pd.DataFrame:
    dice = np.random.default_rng(seed)
    labels = [list(ABOUT)[n % 3] for n in range(count)]
    texts = [" ".join([*dice.choice(ABOUT[label], 3), *dice.choice(ALL, 9)]) for label in labels]
    ids = [f"r{start + n:04d}" for n in range(count)]
    return pd.DataFrame({"id": ids, "text": texts, "label": labels, "group_id": ids, "split": "train"})


BEFORE, CLEAN, HELD = rows(400, 0), rows(100, 1, 400), rows(60, 2, 9_000)


def measured(batch: pd.DataFrame, before: pd.DataFrame | None = BEFORE) -> dict[str, Measure]:
    whole = batch if before is None else pd.concat([before, batch], ignore_index=True)
    settings = DataChecks()
    return {one.name: one for one in measures(signs_of(whole, before, HELD, settings.phone_regions), settings)}


def failed(batch: pd.DataFrame) -> dict[str, str]:
    return {name: one.severity for name, one in measured(batch).items() if one.value > one.bound.warning}


def texts(change: Callable[[str], str], count: int) -> Callable[[], Batch]:
    """The clean batch with its first texts changed."""
    return lambda: CLEAN.assign(text=[change(text) if n < count else text for n, text in enumerate(CLEAN["text"])])


def labels(change: Callable[[str], str], count: int) -> Callable[[], Batch]:
    return lambda: CLEAN.assign(label=[change(label) if n < count else label for n, label in enumerate(CLEAN["label"])])


def of_other_rows(other: pd.DataFrame, count: int, label: Callable[[str], str] = str) -> Callable[[], Batch]:
    mine = other.head(count).assign(id=CLEAN["id"].head(count).tolist(), group_id=CLEAN["id"].head(count).tolist())
    return lambda: pd.concat([mine.assign(label=mine["label"].map(label)), CLEAN.iloc[count:]], ignore_index=True)


def turned(label: str) -> str:
    return {"price": "stop", "stop": "meeting", "meeting": "price"}[label]


GERMAN = "wir haben leider keine zeit für gespräch melden uns nach ferien wieder ihnen angebot nicht schon später".split()  # noqa: SIM905


def german(text: str) -> str:
    return " ".join(np.random.default_rng(crc32(text.encode())).choice(GERMAN, 12))


FAULTS: dict[str, tuple[Callable[[], Batch], dict[str, str]]] = {
    "nothing": (lambda: CLEAN, {}),
    "some labels flipped": (labels(turned, 8), {"label_errors_new": "warning"}),
    "many labels flipped": (labels(turned, 25), {"label_errors_new": "critical"}),
    "one label taken for another": (
        lambda: CLEAN.assign(label=CLEAN["label"].replace("price", "stop")),
        {"label_drift": "warning", "label_errors_new": "critical"},
    ),
    "labels misspelt": (labels(lambda label: label.upper(), 5), {"labels_alike": "critical", "labels_new": "warning"}),
    "a label nobody knew": (labels(lambda _: "referral", 12), {"labels_new": "warning", "label_drift": "warning"}),
    "rows in German": (texts(german, 30), {"language_drift": "critical"}),
    "texts cut off": (texts(lambda text: text[:30], 60), {"length_drift": "critical"}),
    "mostly one label": (of_other_rows(rows(300, 5).query("label == 'stop'"), 60), {"label_drift": "warning"}),
    "reworded regression rows": (
        of_other_rows(HELD.assign(text=HELD["text"].str.upper() + "!"), 12),
        {"regression_copies_new": "critical"},
    ),
    "earlier rows with another label": (of_other_rows(BEFORE, 6, turned), {"conflicts_new": "critical"}),
    "addresses and numbers": (texts(lambda text: f"{text} {SECRETS[0]} {SECRETS[1]}", 15), {"contact_data": "warning"}),
    "a card and an account": (texts(lambda text: f"{text} {SECRETS[2]} {SECRETS[3]}", 1), {"sensitive_data": "warning"}),
    "a lost character": (texts(lambda text: text + "\N{REPLACEMENT CHARACTER}", 1), {"encoding_damage": "warning"}),
    "mojibake": (texts(lambda text: text.replace("e", "Ã©"), 20), {"encoding_damage": "critical", "encoding_damage_new": "critical"}),
    "one text over and over": (
        lambda: CLEAN.assign(text=[f"look at the ticket number {n} on monday" if n < 40 else t for n, t in enumerate(CLEAN["text"])]),
        {"repeats_new": "critical"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_batch_fails_its_check(fault: str) -> None:
    plant, expected = FAULTS[fault]
    found = failed(plant())
    extra = {
        name
        for name in found.keys() - expected.keys()
        if name not in ("label_errors_by_label", "label_errors_new", "label_drift", "length_drift")
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not extra
    if fault == "nothing":
        assert found == {}


def test_the_same_faults_hide_in_the_whole_and_show_in_the_new_rows() -> None:
    found = measured(labels(turned, 8)())
    assert found["label_errors"].value < 0.05
    assert found["label_errors_new"].value > 0.05
    assert re.fullmatch(r"\d+\.\d% of 100 new row\(s\), \d\.\d% of the others: id r04.*", found["label_errors_new"].found)


def test_corrected_rows_are_new_and_rows_that_stay_are_not() -> None:
    corrected = BEFORE.assign(label=[turned(label) if n < 60 else label for n, label in enumerate(BEFORE["label"])])
    signs = signs_of(corrected, BEFORE, None, ())
    assert signs.new["id"].tolist() == BEFORE["id"].head(60).tolist()


def test_a_first_version_is_held_against_nothing_before_it() -> None:
    found = measured(BEFORE, before=None)
    assert "label_drift" not in found
    assert {name for name, one in found.items() if one.value > one.bound.warning} == set()


def test_validation_rows_with_a_near_copy_in_training_are_counted() -> None:
    copies = BEFORE.head(4).assign(id=["v1", "v2", "v3", "v4"], group_id="v", split="valid", text=BEFORE["text"].head(4).str.title())
    found = measured(pd.concat([CLEAN, copies, rows(6, 7, 700).assign(split="valid")], ignore_index=True))["split_copies"]
    assert found.found == "4 of 10 (40.0%); training keeps near copies on one side"
    assert found.value > found.bound.warning
    assert found.ids == ("v1", "v2", "v3", "v4")


def test_personal_data_is_reported_by_id_and_kind_and_stands_in_no_file(tmp_path: Path) -> None:
    batch = texts(lambda text: f"{text} {'; '.join(SECRETS)}", 15)()
    report = check_annotations(pd.concat([BEFORE, batch]), BEFORE, HELD, DataChecks(), (), tmp_path)
    details = {check.name: check.detail for check in report.checks if not check.passed}
    assert details["sensitive_data"] == (
        "expected at most 0 row(s) with a card, an account or a national id; "
        "found card: 15 row(s), iban: 15 row(s): id r0400, r0401, r0402, r0403, r0404 and 10 more"
    )
    assert report.passed
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    for secret in (*SECRETS, *(secret.replace(" ", "") for secret in SECRETS), BEFORE["text"][0], batch["text"][0]):
        assert [path.name for path in files if secret.encode() in path.read_bytes()] == []
    flagged = [json.loads(line) for line in (tmp_path / report.docs).with_name("flagged_rows.jsonl").read_text().splitlines()]
    assert {"check": "sensitive_data", "id": "r0400", "kinds": ["email", "phone", "card", "iban"]} in flagged


def test_suspects_are_listed_for_annotators_with_given_and_suggested_label(tmp_path: Path) -> None:
    report = check_annotations(pd.concat([BEFORE, labels(turned, 8)()]), BEFORE, None, DataChecks(), (), tmp_path)
    page = tmp_path / report.docs
    lines = [json.loads(line) for line in page.with_name("suspected_labels.jsonl").read_text().splitlines()]
    told = {line["id"]: line["suggested_label"] for line in lines}
    truth = dict(zip(CLEAN["id"], CLEAN["label"], strict=True))
    right = [row for row in CLEAN["id"].head(8) if told.get(row) == truth[row]]
    assert len(right) >= 6
    assert set(lines[0]) == {"id", "label", "suggested_label", "margin"}
    assert '<a href="suspected_labels.jsonl">' in page.read_text()


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected critical to be at least warning, found 0\.1 below 0\.2"):
        DataChecks.model_validate({"label_errors": {"warning": 0.2, "critical": 0.1}})
