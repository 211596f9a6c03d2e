"""What all tables of headgate.toml are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


Percent = Annotated[int, Field(ge=0, le=100)]


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)]


Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of headgate.toml: immutable, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")
