"""Current reply of a mail: time on ordinary, large and hostile texts, and how many public expectations hold, beside mail-parser-reply.

    python benchmarks/mail.py                    both
    python benchmarks/mail.py --peers none       ours alone
    python benchmarks/mail.py --json out.json    rows and ratios

CPU milliseconds per 100 kB (UTF-8), median of --repeats, ours and the peer in turn. The peer runs in a process of its own for each
measurement, stopped after --limit-s. Ratios above 1 are in our favour; `ms_per_100kb_*` are ours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from peers import CHECKOUT, peer_python

from headgate.model.filters import current_reply, machine_mail
from headgate.model.raw_mail import read_mail

SHARED = Path(os.environ.get("HEADGATE_SHARED", CHECKOUT / ".." / "shared"))
REPLY_SETS = ("mail_reply_github", "mail_reply_multilingual")
PEER = ("mail-parser-reply==1.36",)
HOSTILE_BYTES = 100_000
HOSTILE = {
    "empty lines": "\n",
    "quotation marks": ">",
    "attributions begun": "On 1 2 x\n",
    "one line of attributions": "Am 1.2 x schrieb ",
    "header labels": "From: a\nSent: b\n",
    "header labels alone": "a:\n",
    "disclaimers begun": "this e-mail\n\n",
    "addresses": "<a@b.c>\n",
    "signature marks": "--\n",
    "closings": "Best,\n",
    "ruled lines": "________________________\n",
    "one long line": "word ",
}
HOSTILE_HTML = {"tags begun": "<a ", "comments begun": "<!--", "nested quotes": "<blockquote>", "markup errors": "<!["}
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", choices=["all", "none"], default="all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=10, help="a peer that takes longer for one measurement is stopped")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and ratios there")
    options = parser.parse_args(arguments)
    python = peer_python("mail", PEER, with_torch=False) if options.peers == "all" else None
    rows = [measured(name, texts, python, options) for name, texts in mails().items()]
    rows += [ours_alone(name, act, texts, options.repeats) for name, act, texts in readers()]
    ratios = ratios_of(rows)
    held = [expectations(name, python) for name in REPLY_SETS]
    print(table(rows, ratios))
    print("\n".join(f"{row['name']}: ours {row['ours']}, peer {row['peer']} of {row['cases']} expectations hold" for row in held))
    if options.json:
        options.json.write_text(json.dumps({"rows": [*rows, *held], "ratios": ratios}, indent=2) + "\n")


def mails() -> dict[str, list[str]]:
    """Texts to cut, by the name of their row."""
    public = [case["raw"] for name in REPLY_SETS for case in cases(name)]
    replies = [row["text"] for file in sorted((CHECKOUT / "examples" / "replies").glob("*.jsonl")) for row in lines(file)]
    known = {
        "public mails": [text for text in public if len(text) < HOSTILE_BYTES],
        "example replies": replies,
        "767 kB mail": [text for text in public if len(text) >= HOSTILE_BYTES],
    }
    return known | {f"hostile: {name}": [unit * (HOSTILE_BYTES // len(unit))] for name, unit in HOSTILE.items()}


def readers() -> list[tuple[str, Callable[[str], object], list[str]]]:
    """What no peer does: whole messages read, and machines' mail told."""
    raw = [case["raw"] for case in cases("mail_auto_sisimai")]
    html = [(f"read_mail, hostile HTML: {name}", read_mail, [_html(unit)]) for name, unit in HOSTILE_HTML.items()]
    return [("read_mail, public machine mail", read_mail, raw), ("machine_mail, the same", _told, raw), *html]


def _html(unit: str) -> str:
    return "Content-Type: text/html\n\n" + unit * (HOSTILE_BYTES // len(unit))


def _told(raw: str) -> str | None:
    return machine_mail({}, raw)


def cases(name: str) -> list[Row]:
    """The cases of a public set."""
    return lines(SHARED / "data" / name / "cases.jsonl")


def lines(file: Path) -> list[Row]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def measured(name: str, texts: list[str], python: Path | None, options: argparse.Namespace) -> Row:
    """One row, ours and the peer in turn; None where the peer was stopped."""
    ours, theirs = [], []
    for _ in range(options.repeats):
        ours.append(cpu_s(current_reply, texts))
        if python and None not in theirs:
            theirs.append(peer_cpu_s(python, texts, options.limit_s))
    row = _row(name, texts, ours)
    if python:
        slow = None in theirs
        row["peer_ms_per_100kb"] = None if slow else 1e8 * median(theirs) / row["bytes"]
        row["peer"] = f"> {1e8 * options.limit_s / row['bytes']:,.0f}" if slow else f"{row['peer_ms_per_100kb']:,.1f}"
    return row


def ours_alone(name: str, act: Callable[[str], object], texts: list[str], repeats: int) -> Row:
    """One row of what the peer does not do."""
    return _row(name, texts, [cpu_s(act, texts) for _ in range(repeats)])


def _row(name: str, texts: list[str], seconds: Sequence[float]) -> Row:
    size = sum(len(text.encode()) for text in texts)
    return {"name": name, "texts": len(texts), "bytes": size, "ms_per_100kb": 1e8 * median(seconds) / size}


def cpu_s(act: Callable[[str], object], texts: list[str]) -> float:
    """CPU seconds of one pass."""
    start = time.process_time()
    for text in texts:
        act(text)
    return time.process_time() - start


def expectations(name: str, python: Path | None) -> Row:
    """How many cases of a public set hold."""
    found = cases(name)
    theirs = peer(python, [case["raw"] for case in found], limit_s=120) if python else None
    held = sum(holds(case, reply) for case, reply in zip(found, theirs["replies"], strict=True)) if theirs else None
    return {"name": name, "cases": len(found), "ours": sum(holds(case, current_reply(case["raw"])) for case in found), "peer": held}


def holds(case: Row, reply: str) -> bool:
    """Whether a reply is what a public case expects."""
    exact = case.get("expected_reply") is None or reply.strip() == case["expected_reply"].strip()
    present = all(part in reply for part in case.get("must_contain") or ())
    return exact and present and not any(part in reply for part in case.get("must_not_contain") or ())


def peer_cpu_s(python: Path, texts: list[str], limit_s: float) -> float | None:
    """CPU seconds of the peer's pass; None if it was stopped at the limit."""
    found = peer(python, texts, limit_s)
    return float(found["cpu_s"]) if found else None


def peer(python: Path, texts: list[str], limit_s: float) -> Row | None:
    """The peer's answer, in a process of its own; None if it was stopped at the limit."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "texts.json"
        file.write_text(json.dumps(texts))
        try:
            done = subprocess.run(
                [python, Path(__file__).with_name("mail_peer.py"), file], capture_output=True, text=True, check=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            return None
    found: Row = json.loads(done.stdout)
    return found


def ratios_of(rows: Sequence[Row]) -> dict[str, float | None]:
    """Numbers that a goal is set for, and how many times the peer's time is ours."""
    by_name = {row["name"]: row for row in rows}
    found: dict[str, float | None] = {
        "ms_per_100kb_767kb": by_name["767 kB mail"]["ms_per_100kb"],
        "ms_per_100kb_slowest_reply": max(row["ms_per_100kb"] for row in rows if not row["name"].startswith(("read_mail", "machine_mail"))),
        "ms_per_100kb_slowest": max(row["ms_per_100kb"] for row in rows),
    }
    for name in ("public mails", "example replies", "767 kB mail"):
        peer = by_name[name].get("peer_ms_per_100kb")
        found[f"peer_{name.replace(' ', '_')}"] = peer / by_name[name]["ms_per_100kb"] if peer else None
    return found


def table(rows: Sequence[Row], ratios: dict[str, float | None]) -> str:
    """Markdown, the ratios last."""
    head = ["| texts | number | kB | ours, ms per 100 kB | mail-parser-reply |", "|---|---|---|---|---|"]
    body = [
        f"| {row['name']} | {row['texts']:,} | {row['bytes'] / 1e3:,.0f} | {row['ms_per_100kb']:.1f} | {row.get('peer', '-')} |"
        for row in rows
    ]
    last = [f"{name}: {'not measured' if value is None else f'{value:,.2f}'}" for name, value in ratios.items()]
    return "\n".join([*head, *body, "", *last])


if __name__ == "__main__":
    sys.exit(main())
