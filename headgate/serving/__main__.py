"""`python -m headgate.serving BUNDLE`: the serving command without anything that starts slowly."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from headgate.errors import HeadgateError
from headgate.serving.config import COHORTS
from headgate.serving.server import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a bundle; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m headgate.serving", description="Serve a bundle over HTTP.")
    parser.add_argument("bundle", type=Path, help="folder that `headgate wrap` wrote")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for a free one (default: %(default)s)")
    parser.add_argument("--log-dir", type=Path, help="folder of the prediction log (default: none is kept)")
    parser.add_argument(
        "--log-text", choices=("none", "hash", "full"), default="hash", help="what the log keeps of a text (default: %(default)s)"
    )
    parser.add_argument("--model", help="name of the model in answers, metrics and log (default: the bundle's)")
    parser.add_argument("--release", help="release id in answers, metrics and log")
    parser.add_argument("--cohort", choices=COHORTS, default="champion", help="cohort in metrics and log (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of one matrix product (default: %(default)s)")
    chosen = vars(parser.parse_args(arguments))
    try:
        run(**chosen)
    except HeadgateError as fault:
        sys.stderr.write(f"headgate serving: {fault}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
