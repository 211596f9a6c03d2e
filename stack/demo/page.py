"""The story on one page that needs nobody: what happened, when, who decided what and why, and how production's clients fared."""

import shutil
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup
from pydantic import Field

from headgate.evaluation.confusion import Confusion, confusion
from headgate.evaluation.evidence import beside, environment
from headgate.evaluation.report import Report
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.audit import AuditEntry
from headgate.release.retraining import Decision
from stack.demo.observed import Told, audit_of, decisions_of, releases_of, seconds_at_share
from stack.demo.pictures import traffic_picture
from stack.demo.place import MODEL, Place
from stack.demo.record import ActRecord, Beginning, Story
from stack.demo.traffic import Request, read_log

BRIEF = {
    "first-release": "Nothing is live yet, so a person starts it.",
    "annotations": "A file lands; nobody starts anything.",
    "better-model": "Nothing goes live without a person; then the rollout decides alone.",
    "poisoned-batch": "Planted: known replies come back with the label of the next one. It never comes to a training.",
    "worse-model": "Planted: one switch of the training, turned in good faith.",
    "slow-model": "Planted: a filter that is slow on long mails, of which no test has any. Production has, from this act's approval on.",
    "rollback": "One command; the answer before and after it.",
}


class Line(Record):
    """One act's traffic: how many requests, how many failed, and their latency in ms."""

    requests: int = 0
    failed: int = 0
    p50: float | None = None
    p95: float | None = None
    slowest: float | None = None


class Observed(Record):
    """Everything that the page tells."""

    begun: Beginning
    acts: tuple[ActRecord, ...]
    requests: tuple[Request, ...]
    releases: tuple[Told, ...] = ()
    audit: tuple[AuditEntry, ...] = ()
    decisions: tuple[Decision, ...] = ()
    watched: dict[str, str] = Field(default_factory=dict)
    reports: dict[str, str] = Field(default_factory=dict, description="evidence pages by release id")
    checks: str | None = None
    planned: int = Field(len(BRIEF), description="acts of the whole story")

    @property
    def verdict(self) -> str:
        """As the page's head shows it."""
        if any(act.failed for act in self.acts):
            return "failed"
        return "passed" if len(self.acts) == self.planned else "inconclusive"


def write_page(place: Place, story: Story) -> list[str]:
    """Write the page with the evidence pages beside it; returns the closing lines for the terminal."""
    begun = story.begun()
    assert begun is not None
    place.page.parent.mkdir(parents=True, exist_ok=True)
    seen = observe(place, story, begun)
    place.page.write_text(render(seen, _matrices(place.lake, seen)), encoding="utf-8")
    return closing(seen)


def observe(place: Place, story: Story, begun: Beginning) -> Observed:
    """Read everything, and copy the evidence beside the page, so that it is there when the stack is down."""
    lake, acts = place.lake, story.acts()
    releases = releases_of(lake)
    return Observed(
        begun=begun,
        acts=tuple(acts),
        requests=tuple(read_log(place.story / "traffic.jsonl")),
        releases=tuple(releases),
        audit=tuple(audit_of(lake)),
        decisions=tuple(decisions_of(lake)),
        watched=_watched(lake, releases),
        reports={told.release.id: _copied(place, told.release.id) for told in releases},
        checks=_checks(place, acts),
    )


def _watched(lake: Lake, releases: Sequence[Told]) -> dict[str, str]:
    """By release and environment: how long both cohorts were watched before the verdict."""
    found = {}
    for told in releases:
        for where in sorted({step.environment for step in told.moves}):
            seconds = seconds_at_share(lake, told.release.id, where)
            if seconds is not None:
                found[f"{told.release.id} {where}"] = f"{seconds:.0f} s"
    return found


def _copied(place: Place, release: str) -> str:
    """The release's evidence page beside ours; returns the link."""
    source, name = place.home / "lake" / "releases" / release / "evidence" / "index.html", f"evidence-{release[:12]}.html"
    shutil.copyfile(source, place.page.parent / name)
    return name


def _checks(place: Place, acts: Sequence[ActRecord]) -> str | None:
    """The data checks that stopped the poisoned batch, copied beside the page; returns the link."""
    candidate = next((act.facts["candidate"] for act in acts if "candidate" in act.facts), None)
    source = place.home / "lake" / "candidates" / MODEL / str(candidate) / "checks"
    if candidate is None or not source.is_dir():
        return None
    shutil.copytree(source, place.page.parent / "checks", dirs_exist_ok=True)
    pages = sorted((place.page.parent / "checks").rglob("index.html"), key=lambda page: len(page.parts))
    return pages[0].relative_to(place.page.parent).as_posix() if pages else None


def _matrices(lake: Lake, seen: Observed) -> Confusion | None:
    """Confusion matrices of the better model and of the champion that it replaced."""
    release = next((act.facts.get("release") for act in seen.acts if act.name == "better-model" and not act.failed), None)
    if release is None:
        return None
    report = Report.model_validate_json(lake.read(f"releases/{release}/evidence/report.json"))
    panels = [("The better model", report.candidate), *([("The first release", report.champion)] if report.champion else [])]
    return confusion(panels)


def render(seen: Observed, matrices: Confusion | None = None) -> str:
    """The page as HTML, self-contained but for links to the copied evidence."""
    pages = environment().overlay(loader=ChoiceLoader([PackageLoader("stack.demo", ""), PackageLoader("headgate.evaluation", "")]))
    answered = {one.release for one in seen.requests}
    names = [told.release.id for told in seen.releases if told.release.id in answered]
    picture = traffic_picture(seen.requests, seen.acts, names) if seen.requests and seen.acts else None
    return pages.get_template("page.html").render(
        seen=seen,
        style=Markup(beside("evidence.css")),  # noqa: S704 - our own file
        brief=BRIEF,
        traffic=[traffic_of(seen.requests, act) for act in seen.acts],
        total=summed(seen.requests),
        picture=picture,
        matrices=matrices,
        seconds=sum(act.seconds for act in seen.acts),
        failed=[act for act in seen.acts if act.failed],
        clock=_clock,
    )


def traffic_of(requests: Sequence[Request], act: ActRecord) -> Line:
    """The requests that were sent during an act."""
    return summed([one for one in requests if act.began.timestamp() <= one.at < act.ended.timestamp()])


def summed(requests: Sequence[Request]) -> Line:
    """Counts and latencies of requests; of failed ones as well."""
    if not requests:
        return Line()
    ms = np.array([one.ms for one in requests])
    return Line(
        requests=len(requests),
        failed=sum(one.failed for one in requests),
        p50=float(np.percentile(ms, 50)),
        p95=float(np.percentile(ms, 95)),
        slowest=float(ms.max()),
    )


def closing(seen: Observed) -> list[str]:
    """What the terminal says at the end: each act with its time, and how production's clients fared."""
    lines = [f"{act.number + 1}. {act.title}: {'FAILED: ' + act.failed if act.failed else f'{act.seconds:.0f} s'}" for act in seen.acts]
    total = summed(seen.requests)
    fared = f"production's clients sent {total.requests:,} requests, of which {total.failed:,} failed"
    return [*lines, f"{sum(act.seconds for act in seen.acts):.0f} s in all; {fared}"]


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"
