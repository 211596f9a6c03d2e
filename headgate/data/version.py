"""What names the content of a data set, for ever."""

import re

from pydantic import BaseModel, ConfigDict

from headgate.errors import BadInput


class DataVersion(BaseModel):
    """A data set at one table version; the digest is the order-free sum of its row hashes, in hex."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    version: int
    digest: str
    rows: int


def checked_name(dataset: str) -> str:
    """The data set's name itself; BadInput if it could not be a folder's name everywhere."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", dataset):
        raise BadInput(f"data set: expected a name of lower-case letters, digits and '-' (at most 63), found {dataset!r}")
    return dataset
