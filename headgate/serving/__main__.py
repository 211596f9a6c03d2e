"""`python -m headgate.serving BUNDLE`, which `headgate serve BUNDLE` is too: nothing here starts slowly."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.serving.config import COHORTS, LOG_KEEP_BYTES, MAX_CACHED, MIRROR_HEADER
from headgate.serving.sagemaker import bundle_to_serve, told_by
from headgate.serving.server import run

EXAMPLE = """
example:
  headgate serve out/bundle --port 8080
  curl -s localhost:8080/invocations -H 'Content-Type: application/json' -d '{"instances": [{"text": "Call me on Thursday"}]}'

GET /ping, /livez, /readyz, /metrics and /openapi.json tell about it; POST /feedback takes corrected labels.
GET /ping answers with no body, and with Accept: application/json what is served.
SIGTERM answers what is under way and ends within 30 s; SIGHUP is ignored.
"""


def main(arguments: Sequence[str] | None = None, program: str = "python -m headgate.serving", name: str = "headgate serving") -> int:
    """Serve a bundle; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(program)
    chosen = vars(parser.parse_intermixed_args(given))  # SageMaker says `serve` after the image's own options
    if by_sagemaker := chosen.pop("serve"):
        chosen = vars(parser.parse_intermixed_args([*told_by(os.environ), *given]))
        chosen.pop("serve")
    try:
        if by_sagemaker:
            chosen["bundle"] = bundle_to_serve(chosen["bundle"])
        run(**chosen)
    except HeadgateError as fault:
        sys.stderr.write(f"{name}: {fault}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Answer POST /invocations with a bundle, until SIGTERM.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("bundle", type=Path, help="folder that `headgate wrap` wrote")
    add(
        "serve",
        nargs="?",
        choices=("serve",),
        help="what SageMaker says: /opt/ml/model is looked at, and HEADGATE_SERVE_RELEASE=r1 means --release r1",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8080, help="port to listen on, 0 for a free one (default: %(default)s)")
    add("--workers", type=int, default=1, help="processes that share the port, 0 for one a core (default: %(default)s)")
    add("--log-dir", type=Path, help="folder of the prediction log and of corrections (default: none are kept)")
    add("--log-text", choices=("none", "hash", "full"), default="hash", help="what the log keeps of a text (default: %(default)s)")
    kept = os.environ.get(LOG_KEEP_BYTES)
    add(
        "--log-keep-bytes",
        type=int,
        default=kept,
        help=f"older files of the log are removed; ${LOG_KEEP_BYTES} says so too (default: none)",
    )
    add("--max-cached", type=int, default=MAX_CACHED, help="answers that each worker remembers, 0 for none (default: %(default)s)")
    add("--model", help="name of the model in answers, metrics and log (default: the bundle's)")
    add("--release", help="release id in answers, metrics and log")
    add("--cohort", choices=COHORTS, default="champion", help="cohort in metrics and log (default: %(default)s)")
    add("--mirror-header", default=MIRROR_HEADER, help="where a router puts the id of a mirrored request (default: %(default)s)")
    add("--threads", type=int, default=1, help="threads of one matrix product (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
