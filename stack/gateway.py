"""A small web server that shows evidence pages and Data Docs out of the lake, and tells Prometheus what to scrape."""

import argparse
import html
import mimetypes
import re
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deployments.scrape_targets import scrape_targets
from headgate.errors import HeadgateError
from headgate.lake import Lake
from headgate.monitoring.watch_records import page_key
from headgate.release.record import load_release, release_ids
from headgate.settings import load_settings
from tasks.places import the_lake

# Only what is meant for readers: evidence of releases, Data Docs of candidates, and pages about production.
_READABLE = re.compile(r"(releases/[0-9a-f]{64}/evidence|candidates/[^/]+/[0-9a-f]{16}/checks|watching/[^/]+/report)/.+")


def create_app(lake: Lake, home: Path) -> Starlette:
    """The gateway over one lake, and over the endpoints under one home folder."""

    def page(request: Request) -> Response:
        key = request.path_params["key"]
        entry = lake.get(key) if _READABLE.fullmatch(key) and ".." not in key else None
        if entry is None:
            return PlainTextResponse(f"no such page: {key}\n", status_code=404)
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        return Response(entry.data, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})

    def index(_: Request) -> Response:
        return HTMLResponse(_index(lake))

    def targets(_: Request) -> JSONResponse:
        return JSONResponse(scrape_targets(home))

    def ping(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    known = [Route("/", index), Route("/ping", ping), Route("/prometheus/targets", targets)]
    return Starlette(routes=[*known, Route("/{key:path}", page)])


def _index(lake: Lake) -> str:
    """A list of all releases with links to their evidence."""
    lines = []
    for release_id in release_ids(lake):
        release = load_release(lake, release_id)
        text = f"{release.model}: release {release_id[:12]}, data version {release.data_version.version}, {release.verdict}"
        lines.append(f'<li><a href="/releases/{release_id}/evidence/index.html">{html.escape(text)}</a></li>')
    watched = [name for name in sorted(load_settings().models) if lake.get(page_key(name))]
    pages = "".join(f'<li><a href="/{page_key(name)}">{html.escape(name)}</a></li>' for name in watched)
    production = f"<h1>Production</h1><ul>{pages}</ul>" if watched else ""
    head = "<!doctype html><html lang=en><meta charset=utf-8><title>Headgate</title>"
    return f"{head}<h1>Releases</h1><ul>{''.join(lines)}</ul>{production}</html>"


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s); nobody is asked who they are")
    asked = parser.parse_args()
    try:
        settings = load_settings()
        app = create_app(the_lake(settings), settings.home.absolute())
    except HeadgateError as fault:
        raise SystemExit(f"headgate gateway: {fault}") from fault
    uvicorn.run(app, host=asked.host, port=asked.port, log_level="warning")


if __name__ == "__main__":
    main()
