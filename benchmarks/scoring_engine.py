"""The engine alone, for `scoring.py`: reads a JSON list of texts, says `ready`, and at `go` scores them; prints its CPU-seconds."""

import json
import sys
import time

from headgate.model.runtime import Message, Runtime

BATCH = 32


def main(bundle: str) -> None:
    """Score the texts of one line of standard input."""
    messages = [Message(text) for text in json.loads(sys.stdin.readline())]
    runtime = Runtime.load(bundle)
    for start in range(0, 8 * BATCH, BATCH):
        runtime.score(messages[start : start + BATCH])
    print("ready", flush=True)
    sys.stdin.readline()
    cpu_s = time.process_time()
    for start in range(0, len(messages), BATCH):
        runtime.score(messages[start : start + BATCH])
    print(time.process_time() - cpu_s, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
