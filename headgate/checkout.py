"""The commit of the code and settings in the working directory."""

import os
import subprocess

DIRTY, UNKNOWN = "+dirty", "unknown"


def commit() -> str:
    """The checkout's commit, with `+dirty` where files differ from it; HEADGATE_COMMIT where there is no checkout."""
    if given := os.environ.get("HEADGATE_COMMIT"):
        return given
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return head + (DIRTY if changed.strip() else "")
