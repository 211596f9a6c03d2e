"""kubectl, and the endpoint that the tests of the cluster share."""

import subprocess

ENDPOINT = "replies-production"


def kubectl(*arguments: str, given: str | None = None) -> str:
    """What kubectl says, which has to succeed."""
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout
