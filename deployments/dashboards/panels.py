"""What the dashboards show, told once for Grafana and for Datadog: every picture, and what a reader may conclude from it."""

from dataclasses import dataclass
from typing import Literal

from deployments.dashboards.queries import (
    DD_FAILED,
    DD_REQUESTS,
    FAILED,
    LABELLED,
    PROCESS,
    REAL,
    REAL_DD,
    REQUESTS,
    SEEN,
    SERVER,
    WHICH,
    WINDOW,
    Query,
    dd,
    label_gap,
    level,
    mean,
    one,
    outcome,
    percentile,
    percentiles,
    rate,
    ratio,
)

Unit = Literal["reqps", "percentunit", "s", "bytes", "short"]
Kind = Literal["lines", "stacked", "number"]


@dataclass(frozen=True)
class Panel:
    """One picture: what it is called, what a reader may conclude, its unit, its queries."""

    title: str
    told: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    highest: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


def row(title: str, *panels: Panel) -> Row:
    """A row of panels."""
    return Row(title, panels)


def lines(title: str, told: str, unit: Unit, *queries: Query, highest: float | None = None) -> Panel:
    """A panel of lines over time."""
    return Panel(title, told, unit, queries, highest=highest)


def stacked(title: str, told: str, unit: Unit, *queries: Query) -> Panel:
    """A panel of lines that add up."""
    return Panel(title, told, unit, queries, "stacked")


def number(title: str, told: str, unit: Unit, *queries: Query) -> Panel:
    """One number, the newest."""
    return Panel(title, told, unit, queries, "number")


def total(*matchers: str) -> str:
    """Requests a second of all cohorts but the mirrored ones."""
    return f"sum(rate(headgate_requests_total{{{','.join((SEEN, REAL, *matchers))}}}[{WINDOW}]))"


GLANCE = row(
    "At a glance",
    number(
        "Requests",
        "Requests a second to /invocations, without mirrored ones.",
        "reqps",
        one("requests", total(), dd("sum", "requests.count", "", REAL_DD)),
    ),
    number(
        "Errors",
        "Share of requests that ended in a 5xx.",
        "percentunit",
        ratio(
            "errors",
            total('status=~"5.."'),
            total(),
            dd("sum", "requests.count", "", REAL_DD, "status:5*"),
            dd("sum", "requests.count", "", REAL_DD),
        ),
    ),
    number(
        "p99 latency",
        "99 of 100 requests were answered by a server within this time.",
        "s",
        one(
            "p99",
            f"histogram_quantile(0.99, sum by (le) (rate(headgate_request_seconds_bucket{{{SEEN},{REAL}}}[{WINDOW}])))",
            dd("p99", "request_seconds", "", REAL_DD),
        ),
    ),
    number(
        "Servers up",
        "Servers that answered the last scrape.",
        "short",
        one("up", f'sum(up{{{WHICH},job="headgate",{SERVER}}})', "sum:headgate.serving{$model,$release}"),
    ),
    number(
        "Predictions not logged",
        "Predictions that the log could not take in the last hour; they are missing from monitoring, drift and `headgate why`.",
        "short",
        one("dropped", f"sum(increase(headgate_log_dropped{{{WHICH}}}[1h]))", "sum:headgate.log_dropped{$model,$release}"),
    ),
    number(
        "Corrections in a day",
        "Labels that users corrected in the last day.",
        "short",
        one(
            "corrections",
            f"sum(increase(headgate_feedback_total{{{WHICH}}}[1d]))",
            "sum:headgate.feedback.count{$model,$release}.as_count()",
        ),
    ),
)

COHORTS = row(
    "Champion and challenger",
    lines(
        "Requests by cohort",
        "Requests a second; shadow is the challenger's on mirrored traffic.",
        "reqps",
        one("{{cohort}}", REQUESTS, DD_REQUESTS),
    ),
    lines(
        "Errors by cohort",
        "Share of a cohort's requests that ended in a 5xx.",
        "percentunit",
        ratio("{{cohort}}", FAILED, REQUESTS, DD_FAILED, DD_REQUESTS),
    ),
    lines(
        "Latency by cohort",
        "Time from request to answer within the server: p50, p95, p99.",
        "s",
        *percentiles("headgate_request_seconds", "request_seconds", "cohort"),
    ),
    lines(
        "Traffic split",
        "Percent of the requests that the router gives to each cohort; shadow is the percent that is mirrored.",
        "short",
        one(
            "{{endpoint}} {{cohort}}",
            'sum by (endpoint, cohort) (headgate_router_weight_percent{model=~"$model",cohort=~"$cohort"})',
            "sum:headgate.router_weight_percent{$model,$cohort} by {endpoint,cohort}",
        ),
        highest=100,
    ),
    lines(
        "Confidence by cohort",
        "Mean probability of the answered label, and the score that one answer in ten stays below.",
        "percentunit",
        one("mean {{cohort}}", mean("headgate_score", "cohort"), dd("avg", "score", "cohort")),
        one("p10 {{cohort}}", percentile(10, "headgate_score", "cohort"), dd("p10", "score", "cohort")),
        highest=1,
    ),
    lines(
        "Abstained and skipped by cohort",
        "Share of a cohort's answers that a post-score filter held back, or that a pre-score filter kept from being scored.",
        "percentunit",
        outcome("abstained"),
        outcome("skipped"),
    ),
    lines(
        "Label mix: challenger minus champion",
        "By how much more (or less) often the challenger answers a label than its champion at the same time.",
        "percentunit",
        label_gap(),
    ),
)

LABELS = row(
    "Predictions",
    stacked(
        "Predictions by label",
        "Answers a second by label. A label that fades or swells is the first sign of drift.",
        "reqps",
        one("{{label}}", LABELLED, dd("sum", "predictions.count", "label", REAL_DD, "!outcome:skipped")),
    ),
    lines(
        "Share by label",
        "Each label's share of the labelled answers.",
        "percentunit",
        Query(
            "{{label}}",
            f"{LABELLED} / on () group_left () sum({LABELLED})",
            "a / b",
            tuple(dd("sum", "predictions.count", by, REAL_DD, "!outcome:skipped") for by in ("label", "")),
        ),
        highest=1,
    ),
    stacked(
        "Filters that fired, by reason",
        "Answers a second that were skipped or abstained, by the filter's reason.",
        "reqps",
        one(
            "{{outcome}}: {{reason}}",
            rate("headgate_predictions_total", "outcome, reason", 'outcome!="scored"', REAL),
            dd("sum", "predictions.count", "outcome,reason", REAL_DD, "!outcome:scored"),
        ),
    ),
    stacked(
        "Corrections by label",
        "Labels that users gave instead, a second.",
        "reqps",
        one(
            "{{label}}",
            rate("headgate_feedback_total", "label", which=WHICH),
            dd("sum", "feedback.count", "label", which="$model,$release"),
        ),
    ),
)

SERVERS = row(
    "Servers",
    lines(
        "Cache hits",
        "Share of the looked up answers that were in the prediction cache.",
        "percentunit",
        ratio(
            "{{cohort}}",
            rate("headgate_cache_total", "cohort", 'result="hit"'),
            rate("headgate_cache_total", "cohort"),
            dd("sum", "cache.count", "cohort", "result:hit"),
            dd("sum", "cache.count", "cohort"),
        ),
        highest=1,
    ),
    lines("Cached answers", "Answers in the prediction cache.", "short", level("cached_answers")),
    lines("Cached bytes", "Memory of the answers in the prediction cache.", "bytes", level("cached_bytes")),
    lines("Messages that wait", "Queue depth; a server refuses with 429 beyond 2,000.", "short", level("queue_depth")),
    lines(
        "Batch size",
        "Messages scored together, on average.",
        "short",
        one(
            "{{instance}}",
            mean("headgate_batch_size", "instance", which=WHICH),
            dd("avg", "batch_size", "endpoint", which="$model,$release"),
        ),
    ),
    lines("Open connections", "Connections to a server.", "short", level("connections")),
    lines(
        "Memory",
        "Resident memory of all workers of a server, and of the routers.",
        "bytes",
        one(
            "{{instance}} {{role}} {{release}}",
            f"sum by (instance, role, release) (process_resident_memory_bytes{{{PROCESS}}})",
            "sum:headgate.process_resident_memory_bytes{$model,$release} by {endpoint}",
        ),
    ),
    lines(
        "Starts",
        "How often a server or one of its workers started in the last 15 minutes; more than twice is a restart loop.",
        "short",
        one(
            "{{instance}} {{role}}",
            f"sum by (instance, role) (changes(process_start_time_seconds{{{PROCESS}}}[15m]))",
            "max:headgate.process_start_time_seconds{$model,$release} by {endpoint}",
        ),
    ),
    lines("Not logged, by server", "Predictions that the log could not take since the server started.", "short", level("log_dropped")),
)

ROUTERS = row(
    "Routers (local target)",
    lines(
        "Calls by answer",
        "Calls a second by endpoint, cohort and HTTP status; status 0 is a server that did not answer.",
        "reqps",
        one(
            "{{endpoint}} {{cohort}} {{status}}",
            rate("headgate_router_requests_total", "endpoint, cohort, status"),
            dd("sum", "router_requests.count", "endpoint,cohort,status"),
        ),
    ),
    lines(
        "Latency through the router",
        "Time to a server's answer, seen from the router: p50, p95, p99 by cohort.",
        "s",
        *percentiles("headgate_router_seconds", "router_seconds", "cohort"),
    ),
    lines(
        "Fallbacks and copies not sent",
        "Challenger's calls that the champion answered in its place, and copies that were dropped: too many were under way.",
        "reqps",
        *(
            one(
                f"{{{{endpoint}}}} {told}",
                f'sum by (endpoint) (rate(headgate_router_{name}_total{{model=~"$model"}}[{WINDOW}]))',
                dd("sum", f"router_{name}.count", "endpoint", which="$model"),
            )
            for name, told in (("fallbacks", "answered by the champion"), ("shadow_dropped", "not mirrored"))
        ),
    ),
)

ROWS = (GLANCE, COHORTS, LABELS, SERVERS, ROUTERS)
