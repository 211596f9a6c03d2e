import pytest

from headgate.data.sharing import datasets_meant, ingest_rules
from headgate.errors import BadInput, BadSettings
from headgate.settings import Conflicts, ModelSettings


def model(dataset: str, *labels: str, policy: str = "latest") -> ModelSettings:
    return ModelSettings(dataset=dataset, labels=labels, conflicts=Conflicts(policy=policy))  # type: ignore[arg-type]


MODELS = {"a": model("replies", "yes", "no"), "b": model("replies", "no", "other"), "c": model("tickets", "bug", "wish")}


def test_models_of_one_data_set_share_its_rules_and_a_label_of_one_is_known() -> None:
    found = ingest_rules(MODELS, "replies")
    assert (found.dataset, found.labels, found.policy) == ("replies", ("yes", "no", "other"), "latest")
    assert ingest_rules(MODELS | {"d": model("replies")}, "replies").labels == ()


def test_a_data_set_of_no_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput) as told:
        ingest_rules(MODELS, "reples")
    assert str(told.value) == (
        "data set 'reples': expected one that a model of headgate.toml reads (replies, tickets), found none that does; "
        "add a model with dataset = 'reples', or move the files to landing/<data set>/"
    )


def test_two_policies_for_one_data_set_are_refused() -> None:
    with pytest.raises(BadSettings) as told:
        ingest_rules(MODELS | {"d": model("replies", policy="majority")}, "replies")
    assert str(told.value) == (
        "data set 'replies' is read by several models: expected one policy for conflicts, found "
        "models.a.conflicts.policy = latest, models.b.conflicts.policy = latest, models.d.conflicts.policy = majority"
    )


def test_a_model_an_event_and_a_schedule_mean_their_data_sets() -> None:
    assert datasets_meant(MODELS, "b", None) == ["replies"]
    assert datasets_meant(MODELS, "b", "replies") == ["replies"]
    assert datasets_meant(MODELS, None, "tickets") == ["tickets"]
    assert datasets_meant(MODELS, None, None) == ["replies", "tickets"]


def test_a_model_that_is_unknown_or_reads_another_data_set_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^model 'x': expected one of headgate.toml \(a, b, c\), found none of that name$"):
        datasets_meant(MODELS, "x", None)
    with pytest.raises(BadInput, match=r"^model 'a' reads the data set 'replies', found 'tickets'; name one of the two$"):
        datasets_meant(MODELS, "a", "tickets")
