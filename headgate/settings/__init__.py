"""The one settings object: read once from headgate.toml and HEADGATE_* variables.

Variables win over the file; `HEADGATE_MODELS__replies__TRAIN__EPOCHS=2` reaches any depth.
"""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError
from typing_extensions import override

from headgate.errors import BadSettings
from headgate.settings.data import Bound, Conflicts, DataChecks, Feedback, Queue, QueueReason, Retrain
from headgate.settings.faults import part_of, told_faults, validated
from headgate.settings.gates import Gates, LoadTest
from headgate.settings.installation import S3, Arrivals, Gateway, Notice, Scoring, Signing, StackSettings
from headgate.settings.places import LONGEST_ENDPOINT, KubernetesNamespace, SageMakerRegion
from headgate.settings.release import ABTest, Approval, AutoAfter, AutoRollback, Rollout, Shadow, Stage, TrafficRouting, named_stages
from headgate.settings.section import Name, Section
from headgate.settings.serving import Serving
from headgate.settings.training import Bundle, CustomFilter, Filters, Switch, Train
from headgate.settings.watching import Watch

__all__ = (
    "LOCAL",
    "S3",
    "ABTest",
    "Approval",
    "Arrivals",
    "AutoAfter",
    "AutoRollback",
    "Bound",
    "Bundle",
    "Conflicts",
    "CustomFilter",
    "DataChecks",
    "Feedback",
    "Filters",
    "Gates",
    "Gateway",
    "KubernetesNamespace",
    "LoadTest",
    "ModelSettings",
    "Name",
    "Notice",
    "Queue",
    "QueueReason",
    "Retrain",
    "Rollout",
    "SageMakerRegion",
    "Scoring",
    "Serving",
    "Settings",
    "Shadow",
    "Signing",
    "StackSettings",
    "Stage",
    "Switch",
    "TrafficRouting",
    "Train",
    "Watch",
    "load_settings",
    "policy_fault",
    "settings_file",
)


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
    retrain: Retrain = Field(Retrain(), validate_default=True)
    feedback: Feedback = Feedback()
    queue: Queue = Queue()
    watch: Watch = Watch()
    data_checks: DataChecks = DataChecks()
    gates: Gates = Gates()
    load_test: LoadTest = LoadTest()
    approval: Approval = Approval()
    rollout: Rollout = Rollout()
    serving: Serving = Serving()

    @field_validator("retrain", mode="wrap")
    @classmethod
    def _enough_labels(cls, given: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Retrain:
        """A trigger that no rows could ever meet is a fault."""

        def too_few(retrain: Retrain) -> str:
            if not (labels := info.data.get("labels")) or retrain.min_labels <= len(labels):
                return ""
            return (
                f"expected min_labels of at most the {len(labels)} labels of the model, found {retrain.min_labels}; "
                "no new rows could set off a training"
            )

        retrain: Retrain = validated(given, validate, too_few, lambda given: part_of(Retrain, given, "min_labels"))
        return retrain

    @property
    def regression_set(self) -> str:
        """Name of the frozen table that belongs to this data set."""
        return f"{self.dataset}-regression"


LOCAL = "local"


def policy_fault(models: Mapping[str, ModelSettings], dataset: str) -> str:
    """What is wrong where the models that read a data set want different policies for conflicts; empty where they agree."""
    policies = {name: model.conflicts.policy for name, model in sorted(models.items()) if model.dataset == dataset}
    if len({*policies.values()}) <= 1:
        return ""
    told = ", ".join(f"models.{name}.conflicts.policy = {policy}" for name, policy in policies.items())
    return f"data set {dataset!r} is read by several models: expected one policy for conflicts, found {told}"


def _faults_between(models: Mapping[str, ModelSettings], places: Mapping[str, object] | None) -> str:
    """What is wrong between models, and between their stages and the targets (None: these are at fault themselves)."""
    faults = [policy_fault(models, dataset) for dataset in sorted({model.dataset for model in models.values()})]
    known = ", ".join((LOCAL, *sorted(places or ())))
    strangers = [
        f"model {name}, stage {stage.environment}: expected a target of {known}, found {stage.target!r}; "
        f"name a table [kubernetes.{stage.target}] or [sagemaker.{stage.target}]"
        for name, model in sorted(models.items())
        for stage in model.rollout.stages
        if places is not None and stage.target not in (LOCAL, *places)
    ]
    too_long = [
        f"model {name}, stage {stage.environment}: expected at most {LONGEST_ENDPOINT - 1} characters of both names together for a target "
        f"other than {LOCAL}, the last one a letter or digit; rename one"
        for name, model in sorted(models.items())
        for stage in model.rollout.stages
        if stage.target != LOCAL and (len(f"{name}-{stage.environment}") > LONGEST_ENDPOINT or stage.environment.endswith("-"))
    ]
    return "; ".join(filter(None, [*faults, *strangers, *too_long]))


def _readers(given: object) -> Iterator[tuple[str, ModelSettings]]:
    """The models whose data set and policy are valid, with those of their stages that are, whatever else is wrong with them."""
    for name, table in given.items() if isinstance(given, Mapping) else ():
        model = part_of(ModelSettings, table, "dataset", "conflicts") or ModelSettings.model_construct(dataset="")
        rollout = table.get("rollout") if isinstance(table, Mapping) else model.rollout.model_dump()
        stages = named_stages(rollout.get("stages") if isinstance(rollout, Mapping) else None)
        yield name, model.model_copy(update={"rollout": Rollout.model_construct(stages=stages)})


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
    kubernetes: dict[Name, KubernetesNamespace] = Field(default_factory=dict, description="targets of stages: docs/kubernetes.md")
    sagemaker: dict[Name, SageMakerRegion] = Field({}, validate_default=True, description="targets of stages: docs/sagemaker.md")
    models: dict[Name, ModelSettings] = Field(default_factory=dict)

    @field_validator("sagemaker")
    @classmethod
    def _names_are_clear(cls, regions: dict[str, SageMakerRegion], info: ValidationInfo) -> dict[str, SageMakerRegion]:
        """A stage names its target by one word."""
        clusters = info.data.get("kubernetes", {})
        if twice := sorted({*clusters} & {*regions}) + [name for name in (*clusters, *regions) if name == LOCAL]:
            raise ValueError(f"expected names for one target each, and other ones than `{LOCAL}`, found {', '.join(twice)}; rename them")
        return regions

    @field_validator("models", mode="wrap")
    @classmethod
    def _fit_together(cls, given: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> dict[str, ModelSettings]:
        """A data set is ingested once, for all models that read it; and stages name targets that are there."""
        valid = {"kubernetes", "sagemaker"} <= {*info.data}
        places = {**info.data["kubernetes"], **info.data["sagemaker"]} if valid else None

        def faults(models: dict[str, ModelSettings]) -> str:
            return _faults_between(models, places)

        return validated(given, validate, faults, lambda given: dict(_readers(given)))

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


@cache
def load_settings() -> Settings:
    """Read the settings; BadSettings lists every fault at once."""
    try:
        return Settings()
    except ValidationError as fault:
        lines = told_faults(Settings, fault)
        raise BadSettings("\n".join([f"{settings_file()} has {len(lines)} fault(s):", *(f"  {line}" for line in lines)])) from None
    except (TOMLDecodeError, UnicodeDecodeError) as fault:
        raise BadSettings(f"{settings_file()} is not TOML: {fault}") from None
    except SettingsError as fault:
        raise BadSettings(f"a HEADGATE_* variable cannot be read: {fault}; expected JSON for a table, or __ between its keys") from None
