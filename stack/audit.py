"""`headgate audit`: the log, and whether it can be believed."""

import json
import sys
from collections.abc import Callable

from headgate.release.audit import entries
from headgate.release.audit_check import audit_json, audit_lines, faults_of
from headgate.settings import load_settings
from tasks.places import the_lake

Say = Callable[[str], None]


def show_audit(model: str | None, as_json: bool, say: Say) -> int:
    """Print the log, of one model or of all; the exit code is 1 where something in it is wrong."""
    lake = the_lake()
    log = entries(lake)
    faults = faults_of(lake, log, load_settings().models)
    shown = [entry for entry in log if model in (None, entry.model)]
    if as_json:
        say(json.dumps(audit_json(shown, faults), indent=2, ensure_ascii=False))
        return 1 if faults else 0
    for line in audit_lines(shown) or ["nothing was decided yet"]:
        say(line)
    for fault in faults:
        sys.stderr.write(f"headgate: {fault}\n")
    return 1 if faults else 0
