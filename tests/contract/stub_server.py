"""A model server for tests of what surrounds one: it takes headgate.serving's options and writes the same prediction log.

`provenance.json` of its bundle decides how it behaves: {"stub": "good" | "crash" | "deaf" | "broken" | "hang", "delay_s": 0.01}, and with
what faults: "errors" (share of the requests that fail), "positive" (share of the answers with this label, the others are "other"),
"crash_after" (requests until the process ends), "leak" (the delay grows by this share of itself with each request; from four times on every
third fails).
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headgate.model.bundle import digest_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--log-dir", type=Path)
    parser.add_argument("--port", type=int)
    for option in ("host", "model", "release"):
        parser.add_argument(f"--{option}")
    args = parser.parse_args()
    args.log_dir.mkdir(parents=True, exist_ok=True)
    provenance = json.loads((args.bundle / "provenance.json").read_text())
    kind = provenance["stub"]
    if kind == "crash":
        sys.stderr.write("cannot load the model: out of luck\n")
        sys.exit(7)

    rng, numbers = random.Random(7), itertools.count(1)
    failing, positive, leak = (provenance.get(name, usual) for name, usual in (("errors", 0.0), ("positive", 1.0), ("leak", 0.0)))

    def predict(cohort: str, mirror: str | None) -> Response:
        start, number = time.monotonic(), next(numbers)
        if number == provenance.get("crash_after"):
            os._exit(9)
        growth = 1 + leak * number
        time.sleep(provenance.get("delay_s", 0.005) * min(growth, 8))
        if kind == "broken" or rng.random() < failing or (growth > 4 and number % 3 == 0):
            return JSONResponse({"title": "broken"}, 500)
        line = {
            "ts": datetime.now(UTC).isoformat(),
            "prediction_id": f"{args.release}-{number:06}",
            "cohort": cohort,
            "release": args.release,
            "label": "positive" if rng.random() < positive else "other",
            "score": 0.8,
            "outcome": "scored",
            "latency_ms": (time.monotonic() - start) * 1000,
        }
        line |= {"mirror": mirror} if mirror else {}
        with (args.log_dir / "predictions.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        return JSONResponse({"predictions": [line], "model": {"release": args.release}})

    async def invocations(request: Request) -> Response:
        body = await request.body()
        if body == b"bad":
            return JSONResponse({"title": "bad input"}, 422, media_type="application/problem+json")
        if kind == "hang":
            await asyncio.sleep(3600)
        return await run_in_threadpool(predict, request.headers["x-headgate-cohort"], request.headers.get("x-headgate-mirror"))

    async def feedback(request: Request) -> Response:
        with (args.log_dir / "feedback.jsonl").open("ab") as log:
            log.write(await request.body() + b"\n")
        return Response(status_code=202)

    digest = digest_of(json.loads((args.bundle / "bundle.json").read_text())["files"])

    async def ping(_: Request) -> Response:
        model = {"name": args.model, "release": args.release, "bundle_digest": digest}
        return JSONResponse({"model": model}, 503 if kind == "deaf" else 200)

    app = Starlette(
        routes=[Route("/ping", ping), Route("/invocations", invocations, methods=["POST"]), Route("/feedback", feedback, methods=["POST"])]
    )
    patience = 1 if kind == "hang" else None
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning", timeout_graceful_shutdown=patience)


if __name__ == "__main__":
    main()
