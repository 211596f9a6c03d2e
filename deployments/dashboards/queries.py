"""Questions to the metrics, in PromQL and in Datadog's query language side by side.

Datadog's names are those that its OpenMetrics check gives with `datadog-openmetrics.yaml`: `headgate_requests_total` is
`headgate.requests.count`, and a histogram is a distribution.
"""

from dataclasses import dataclass

SERVER = 'role=~"server|"'  # where nobody names roles, all that is scraped counts
WHICH = 'model=~"$model",release=~"$release"'
SEEN = f'{WHICH},cohort=~"$cohort"'
PROCESS = 'job="headgate",model=~"$model",release=~"$release|"'  # a router has no release
WINDOW = "$__rate_interval"
PERCENTILES = (50, 95, 99)
REAL = 'cohort!="shadow"'


@dataclass(frozen=True)
class Query:
    """One line or set of lines: PromQL, and a Datadog formula over named Datadog queries."""

    legend: str
    promql: str
    formula: str
    datadog: tuple[str, ...]


def rate(metric: str, by: str, *matchers: str, which: str = SEEN) -> str:
    """Events a second, summed by labels."""
    return f"sum by ({by}) (rate({metric}{{{','.join((which, *matchers))}}}[{WINDOW}]))"


def share(part: str, whole: str) -> str:
    """A part of a whole with the same labels; 0 where nothing of it was counted yet."""
    return f"({part} or 0 * {whole}) / {whole}"


def percentile(percent: int, metric: str, by: str, which: str = SEEN) -> str:
    """A percentile of a histogram, by labels."""
    return f"histogram_quantile({percent / 100:g}, {rate(f'{metric}_bucket', f'{by}, le', which=which)})"


def mean(metric: str, by: str, which: str = SEEN) -> str:
    """The mean of a histogram, by labels."""
    return f"{rate(f'{metric}_sum', by, which=which)} / {rate(f'{metric}_count', by, which=which)}"


def dd(aggregation: str, metric: str, by: str = "", *filters: str, which: str = "$model,$release,$cohort") -> str:
    """A Datadog metric query; counts are told a second."""
    grouped = f" by {{{by}}}" if by else ""
    per_second = ".as_rate()" if metric.endswith(".count") else ""
    return f"{aggregation}:headgate.{metric}{{{','.join((which, *filters))}}}{grouped}{per_second}"


def one(legend: str, promql: str, datadog: str) -> Query:
    """A query that is the same number in both."""
    return Query(legend, promql, "a", (datadog,))


def level(name: str) -> Query:
    """A gauge of each server."""
    return one("{{instance}}", f"sum by (instance) (headgate_{name}{{{WHICH}}})", f"sum:headgate.{name}{{$model,$release}} by {{endpoint}}")


def ratio(legend: str, part: str, whole: str, part_dd: str, whole_dd: str) -> Query:
    """A share in both languages."""
    return Query(legend, share(part, whole), "default_zero(a) / b", (part_dd, whole_dd))


def percentiles(metric: str, datadog: str, by: str, which: str = SEEN) -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram by one label."""
    return tuple(
        one(f"p{percent} {{{{{by}}}}}", percentile(percent, metric, by, which), dd(f"p{percent}", datadog, by)) for percent in PERCENTILES
    )


REQUESTS, PREDICTIONS = rate("headgate_requests_total", "cohort"), rate("headgate_predictions_total", "cohort")
DD_REQUESTS, DD_PREDICTIONS = dd("sum", "requests.count", "cohort"), dd("sum", "predictions.count", "cohort")
FAILED, DD_FAILED = rate("headgate_requests_total", "cohort", 'status=~"5.."'), dd("sum", "requests.count", "cohort", "status:5*")
REAL_DD = "!cohort:shadow"
LABELLED = rate("headgate_predictions_total", "label", 'outcome!="skipped"', REAL)


def outcome(name: str) -> Query:
    """The share of the answers with one outcome, by cohort."""
    part = rate("headgate_predictions_total", "cohort", f'outcome="{name}"')
    return ratio(f"{name} {{{{cohort}}}}", part, PREDICTIONS, dd("sum", "predictions.count", "cohort", f"outcome:{name}"), DD_PREDICTIONS)


def label_shares(cohort: str) -> str:
    """Each label's share of a cohort's labelled answers."""
    labelled = rate("headgate_predictions_total", "label", f'cohort=~"{cohort}"', 'outcome!="skipped"', which=WHICH)
    return f"{labelled} / on () group_left () sum({labelled})"


def label_gap() -> Query:
    """By how much each label's share differs between challenger and champion; a label that only one of them answers counts too."""
    told = tuple(
        dd("sum", "predictions.count", by, cohort, "!outcome:skipped", which="$model,$release")
        for cohort in ("!cohort:champion", "cohort:champion")
        for by in ("label", "")
    )
    challenger, champion = label_shares("challenger|shadow"), label_shares("champion")
    promql = f"(({challenger}) or 0 * ({champion})) - (({champion}) or 0 * ({challenger}))"
    return Query("{{label}}", promql, "default_zero(a / b) - default_zero(c / d)", told)
