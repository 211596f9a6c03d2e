"""What all tables of headgate.toml are made of.

A rule between keys is a validator of the last of them in the class's order, which reads the others in `info.data`: so it is told together
with the faults of other keys. What is at fault itself is missing there, and then the rule says nothing. A last key that may be left out
takes `validate_default=True`. Where the last one is a table of which the rule reads some keys, `faults.validated` judges these in any case.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


Percent = Annotated[int, Field(ge=0, le=100)]


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)]


Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of headgate.toml: immutable, and unknown keys and numbers that are not finite are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
