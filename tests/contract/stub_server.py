"""A model server for tests of what surrounds one: it takes headgate.serving's options and writes the same prediction log.

`provenance.json` of its bundle decides how it behaves: {"stub": "good" | "crash" | "deaf" | "broken", "delay_s": 0.01}.
"""

import argparse
import json
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

    def predict(cohort: str) -> Response:
        start = time.monotonic()
        time.sleep(provenance.get("delay_s", 0.005))
        if kind == "broken":
            return JSONResponse({"title": "broken"}, 500)
        line = {
            "ts": datetime.now(UTC).isoformat(),
            "prediction_id": "x",
            "cohort": cohort,
            "release": args.release,
            "label": "positive",
            "score": 0.8,
            "outcome": "scored",
            "latency_ms": (time.monotonic() - start) * 1000,
        }
        with (args.log_dir / "predictions.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        return JSONResponse({"predictions": [line], "model": {"release": args.release}})

    async def invocations(request: Request) -> Response:
        body = await request.body()
        if body == b"bad":
            return JSONResponse({"title": "bad input"}, 422, media_type="application/problem+json")
        return await run_in_threadpool(predict, request.headers["x-headgate-cohort"])

    async def ping(_: Request) -> Response:
        return Response(status_code=503 if kind == "deaf" else 200)

    app = Starlette(routes=[Route("/ping", ping), Route("/invocations", invocations, methods=["POST"])])
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
