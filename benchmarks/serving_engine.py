"""The engine alone, for `serving.py`: `Runtime.score` over batches of texts, as a worker calls it, without any server.

`python serving_engine.py BUNDLE TEXTS SECONDS` prints {texts, cpu_s}.
"""

import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path

from headgate.model.runtime import Message, Runtime

BATCH = 32


def main(bundle: str, texts: str, seconds: float) -> None:
    """Score for that long after a first pass that is not counted."""
    runtime = Runtime.load(bundle)
    messages = cycle(Message(json.loads(f'"{line}"')) for line in Path(texts).read_text(encoding="ascii").splitlines())
    runtime.score(list(islice(messages, 4 * BATCH)))
    done, cpu, end = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        done += len(runtime.score(list(islice(messages, BATCH))))
    print(json.dumps({"texts": done, "cpu_s": time.process_time() - cpu}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
