"""What SageMaker tells the image: the word `serve`, files under /opt/ml/model, and environment variables, since it passes no options."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headgate.errors import BadBundle
from headgate.model.bundle import MANIFEST, digest_of

LAID_OUT = Path("/opt/ml/model")
PREFIX = "HEADGATE_SERVE_"
TOLD = ("model", "release", "cohort", "log_text", "max_cached", "workers", "threads")


def bundle_to_serve(own: Path, laid_out: Path = LAID_OUT) -> Path:
    """The image's own bundle, or the same one as SageMaker unpacked it from model.tar.gz; BadBundle where that is another one.

    The image holds the packages of its own bundle, so that it cannot answer for another. The files themselves are verified by who opens it.
    """
    if not laid_out.is_dir() or not (found := sorted(path.name for path in laid_out.iterdir())):
        return own
    if MANIFEST not in found:
        told = ", ".join(found[:5])
        raise BadBundle(f"{laid_out}: expected {MANIFEST} at the top of model.tar.gz, found {told}; pack what is in the bundle's folder")
    wanted, given = _digest(own), _digest(laid_out)
    if wanted != given:
        raise BadBundle(
            f"{laid_out}: expected bundle {wanted[:12]}, which this image was built from, found {given[:12]}; name the model.tar.gz and "
            "the image of one release, or leave ModelDataUrl out: the image holds its bundle"
        )
    return laid_out


def told_by(environment: Mapping[str, str]) -> list[str]:
    """HEADGATE_SERVE_RELEASE=r1 as the argument --release=r1; what is no option becomes an unknown one, which is refused."""
    found = {name.removeprefix(PREFIX): value for name, value in sorted(environment.items()) if name.startswith(PREFIX)}
    return [f"--{name.lower().replace('_', '-')}={value}" for name, value in found.items()]


def environment_of(**options: Any) -> dict[str, str]:
    """The variables that tell a server these options of `headgate serve`; None leaves one out. The inverse of told_by."""
    if strangers := sorted(options.keys() - {*TOLD}):
        raise TypeError(f"expected options of {', '.join(TOLD)}, found {', '.join(strangers)}")
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in options.items() if value is not None}


def _digest(folder: Path) -> str:
    """The digest that a bundle's list of files gives it, read before anything is verified."""
    try:
        return digest_of(json.loads((folder / MANIFEST).read_bytes())["files"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as fault:
        raise BadBundle(f"{folder / MANIFEST} cannot be read: {fault}") from None
