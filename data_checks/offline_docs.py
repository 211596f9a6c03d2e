"""Data Docs that open from disk: no script, style, picture or count of visits comes from another machine.

Great Expectations' pages fetch those from several hosts, and their front page is empty without them.
"""

import html
import re
from pathlib import Path

# Scripts only style and filter; without them every result is on the page.
REMOTE = re.compile(
    r"<script\b.*?</script>"
    r"|<link\b[^>]*href=[\"']https?://[^>]*>"
    r"|<link\b[^>]*rel=[\"']shortcut icon[^>]*>"
    r"|<img\b[^>]*src=[\"']https?://[^>]*>"
    r"|<footer\b.*?</footer>",
    re.DOTALL | re.IGNORECASE,
)
REMOTE_URL = re.compile(r"url\([\"']?https?://[^)]*\)", re.IGNORECASE)
UNUSED = ("*.gif", "*.otf", "iterative-dev-loop.png", "logo-long*")
# The pages show what strangers wrote: nothing in them may run or load.
POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'\">"
STYLE = """<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; color: CanvasText; background: Canvas }
table { border-collapse: collapse; width: 100%; background: Canvas !important; color: CanvasText !important }
td, th { border: 1px solid color-mix(in srgb, CanvasText 25%, Canvas); padding: .4rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: break-word }
.card, .alert { border: 1px solid color-mix(in srgb, CanvasText 25%, Canvas); border-radius: .4rem; margin: .6rem 0; padding: .6rem }
.modal, .ge-walkthrough-modal, .btn-group, .cooltip .top, nav ol { display: none }
i.fa-times, i.fa-check-circle, i.fa-exclamation-triangle { font-style: normal; font-weight: bold }
i.fa-check-circle::before { content: "\\2714"; color: #1a7f37 }
i.fa-times::before { content: "\\2718"; color: #c62828 }
i.fa-exclamation-triangle::before { content: "!"; color: #b26a00 }
.failed td:nth-child(3) { color: #c62828; font-weight: bold }
</style>"""


def make_offline(docs: Path, rows: list[tuple[str, str, str, str]]) -> None:
    """Free every page of what it would fetch, and write a front page with the checks' (name, severity, verdict, detail)."""
    for page in docs.rglob("*.html"):
        text = REMOTE_URL.sub("none", REMOTE.sub("", page.read_text(encoding="utf-8")))
        page.write_text(text.replace("<head>", f"<head>{POLICY}", 1).replace("</head>", f"{STYLE}</head>", 1), encoding="utf-8")
    for pattern in UNUSED:
        for file in docs.rglob(pattern):
            file.unlink()
    (docs / "index.html").write_text(_front_page(docs, rows), encoding="utf-8")


def _front_page(docs: Path, rows: list[tuple[str, str, str, str]]) -> str:
    links = [
        f'<li><a href="{page.relative_to(docs).as_posix()}">{title}</a></li>'
        for title, folder in (("Validation result, with the ids of failing rows", "validations"), ("Expectation suite", "expectations"))
        for page in sorted((docs / folder).rglob("*.html"))
    ]
    links += [
        f'<li><a href="{file.name}">{file.stem.replace("_", " ").capitalize()}, one JSON a line</a></li>' for file in docs.glob("*.jsonl")
    ]
    lines = "".join(f'<tr class="{row[2]}">{"".join(f"<td>{html.escape(cell)}</td>" for cell in row)}</tr>' for row in rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{POLICY}<title>Data checks</title>{STYLE}</head>'
        "<body><h1>Data checks</h1>"
        f"<table><tr><th>check</th><th>severity</th><th>verdict</th><th>expected and found</th></tr>{lines}</table>"
        f"<ul>{''.join(links)}</ul></body></html>"
    )
