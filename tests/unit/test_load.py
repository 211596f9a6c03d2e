"""What the samples of a load test say, how its stairs climb, and where its gates stop."""

from itertools import pairwise
from pathlib import Path

import made_up_load
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from headgate.evaluation import load_gates, load_pictures, load_summary
from headgate.evaluation.load import summarise
from headgate.evaluation.load_memory import memory_use
from headgate.evaluation.load_report import LoadReport, LoadStep
from headgate.evaluation.load_run import MOST_TEXTS, load_plan
from headgate.evaluation.pictures import PALETTES, Theme
from headgate.evaluation.report import GateResult
from headgate.evaluation.sample_file import SAMPLE, Lane
from headgate.evaluation.samples import read_samples
from headgate.evaluation.stairs import judged, next_rate, saturation
from headgate.settings import LoadTest

URL = "http://127.0.0.1:8400"
LANES = (Lane(role="candidate", cohort="challenger", cache=False), Lane(role="champion", cohort="champion", cache=False))


def gate(report: LoadReport, name: str) -> GateResult:
    (found,) = (one for one in report.gates if one.name == name)
    return found


def climbed(capacity: float, settings: LoadTest) -> list[LoadStep]:
    """All steps of an endpoint that gives `capacity` answers a second and no more."""
    steps: list[LoadStep] = []
    while rate := next_rate(steps, settings):
        steps.append(made_up_load.step("candidate", rate, min(rate, capacity), sustained=rate <= capacity))
    return steps


def test_stairs_rise_by_the_factor_and_then_close_in_on_the_knee() -> None:
    steps = climbed(650, LoadTest(rate_per_s=20, stairs_factor=3, stairs_max_steps=12))
    assert [round(one.rate_per_s) for one in steps] == [20, 60, 180, 540, 1620, 935, 711, 619, 664]
    held = max(one.rate_per_s for one in steps if one.sustained)
    lost = min(one.rate_per_s for one in steps if not one.sustained)
    assert held <= 650 < lost <= 1.1 * held


def test_stairs_go_down_where_the_set_rate_is_too_much() -> None:
    steps = climbed(7, LoadTest(rate_per_s=90, stairs_factor=3, stairs_max_steps=12))
    assert [round(one.rate_per_s, 1) for one in steps][:4] == [90, 30, 10, 3.3]
    assert max(one.rate_per_s for one in steps if one.sustained) == pytest.approx(7, rel=0.1)


@given(st.floats(0.5, 50_000), st.integers(0, 15), st.floats(1.2, 10))
def test_stairs_end_after_their_most_steps_and_ask_for_no_rate_twice(capacity: float, most: int, factor: float) -> None:
    steps = climbed(capacity, LoadTest(stairs_max_steps=most, stairs_factor=factor))
    assert len(steps) <= most
    assert len({one.rate_per_s for one in steps}) == len(steps)


def test_a_step_is_sustained_while_answers_keep_pace_within_the_bounds() -> None:
    settings = LoadTest(stairs_step_s=2, max_p95_ms=100, max_error_rate=0.01)
    offset, late = np.arange(200) / 100, np.zeros(200)

    def step(latency_ms: "np.ndarray[tuple[int], np.dtype[np.float64]]", errors: int = 0) -> LoadStep:
        return judged("candidate", 100, offset, latency_ms, np.arange(200) >= errors, late, settings)

    good = step(np.full(200, 20.0))
    assert (good.sustained, good.p95_ms, good.errors) == (True, 20, 0)
    assert good.achieved_rate_per_s == pytest.approx(100, rel=0.02)
    assert not step(np.full(200, 101.0)).sustained, "p95 over the bound"
    assert step(np.full(200, 20.0), errors=2).sustained
    assert not step(np.full(200, 20.0), errors=3).sustained
    piling_up = step(1000 * offset)
    assert not piling_up.sustained
    assert piling_up.achieved_rate_per_s == pytest.approx(50, rel=0.02), "answers come at half the pace"


def test_saturation_is_the_most_that_each_model_gave_sustained_or_not() -> None:
    steps = [*made_up_load.stairs("candidate", 620), *made_up_load.stairs("champion", 650)]
    assert saturation(steps) == {"candidate": 620, "champion": 650}
    assert saturation([]) == {}


def test_two_equal_models_pass_every_gate() -> None:
    report = made_up_load.load_report()
    assert report.verdict == "passed", report.gates
    assert [one.name for one in report.gates] == [
        *("latency_p50", "latency_p95", "latency_p99", "error_rate", "arrival_rate"),
        *("latency_p50_cached", "latency_p95_cached", "latency_p99_cached", "error_rate_cached", "arrival_rate_cached"),
        *("latency_p50_against_champion", "latency_p95_against_champion", "latency_p99_against_champion"),
        *("saturation_against_champion", "memory_growth"),
    ]


def test_a_first_release_has_absolute_gates_alone() -> None:
    lane = made_up_load.lane("candidate", False, 14, 0)
    report = summarise(URL, lane, LoadTest(min_saturation_per_s=500), made_up_load.stairs("candidate", 620), ())
    names = ["latency_p50", "latency_p95", "latency_p99", "error_rate", "arrival_rate", "saturation", "memory_growth"]
    assert [one.name for one in report.gates] == names
    assert report.verdict == "inconclusive", "nobody told the memory"


def test_only_what_lies_after_the_warm_up_counts() -> None:
    lane = made_up_load.lane("candidate", False, 14, 0)
    lane.loc[lane["offset_s"] < 2, ["latency_ms", "fault"]] = [9000, "HTTP 503"]
    side = summarise(URL, lane, LoadTest()).candidate
    assert (side.requests, side.errors) == (300, 0)
    assert side.max_ms < 200


def test_a_certainly_slower_candidate_fails_against_the_champion_and_a_perhaps_slower_one_is_inconclusive() -> None:
    settings = LoadTest(max_p50_ratio=1.25)
    slow = made_up_load.load_report(settings, candidate_ms=14 * 1.4)
    found = gate(slow, "latency_p50_against_champion")
    assert found.verdict == "failed"
    assert found.expected == f"at most 1.25 times the champion's {_champion(slow).p50_ms:,.1f} ms, or 2 ms more"
    assert found.found == f"{slow.candidate.p50_ms / _champion(slow).p50_ms:.2f} times: {slow.candidate.p50_ms:,.1f} ms"
    assert slow.verdict == "failed"
    perhaps = made_up_load.load_report(LoadTest(max_p50_ratio=1.23), candidate_ms=17)
    found = gate(perhaps, "latency_p50_against_champion")
    assert (found.verdict, found.found, found.detail) == ("inconclusive", "1.25 times: 17.4 ms", "1.22 to 1.28 times in 9 of 10 such tests")


def test_a_difference_within_the_allowance_is_noise_whatever_its_ratio() -> None:
    lanes = [made_up_load.lane("candidate", False, 2.8, 0), made_up_load.lane("champion", False, 1.4, 1)]
    report = summarise(URL, pd.concat(lanes), LoadTest(latency_allowance_ms=2))
    assert gate(report, "latency_p50_against_champion").verdict == "passed"
    strict = summarise(URL, pd.concat(lanes), LoadTest(latency_allowance_ms=1))
    assert gate(strict, "latency_p50_against_champion").verdict == "failed"


def test_the_interval_of_a_ratio_holds_the_truth_nine_times_of_ten() -> None:
    held = 0
    for seed in range(30):
        samples = made_up_load.samples(14 * 1.2, 14, seed)
        low, high = load_summary.latency_ratios(samples, (50.0,), LoadTest())[50.0]
        held += low <= 1.2 <= high
    assert 22 <= held <= 30, "9 of 10, and what chance makes of it in 30 tests"


def test_an_hour_at_the_set_rate_is_told_in_at_most_600_points() -> None:
    report = summarise(URL, made_up_load.samples(seconds=3600), LoadTest(duration_s=3600))
    seconds = report.candidate.seconds
    assert (len(seconds), seconds[1].second, sum(one.requests for one in seconds)) == (600, 6, 72_000)
    assert len(report.model_dump_json()) < 500_000


def test_a_candidate_that_gives_much_less_than_the_champion_fails() -> None:
    steps = [*made_up_load.stairs("candidate", 400), *made_up_load.stairs("champion", 650)]
    report = summarise(URL, made_up_load.samples(), LoadTest(min_saturation_ratio=0.8), steps)
    found = gate(report, "saturation_against_champion")
    assert (found.verdict, found.expected) == ("failed", "at least 80% of the champion's 650 a second")
    assert found.found == "62%: 400 good answers a second"
    knees = "candidate: 180 a second were sustained, 540 were not; champion: 540 a second were sustained, 711 were not"
    assert found.detail == f"{knees}; steps beyond the knee differ by 0%"


def test_a_candidate_that_gives_less_on_a_restless_machine_is_inconclusive() -> None:
    steps = [made_up_load.step("candidate", 20 + n, rate, sustained=False) for n, rate in enumerate((25, 11, 16, 23))]
    steps += [made_up_load.step("champion", 20 + n, rate, sustained=False) for n, rate in enumerate((35, 28, 29, 12))]
    found = gate(summarise(URL, made_up_load.samples(), LoadTest(min_saturation_ratio=0.8), steps), "saturation_against_champion")
    assert (found.verdict, found.found) == ("inconclusive", "71%: 25 good answers a second")


def test_a_knee_says_when_the_requests_themselves_left_late() -> None:
    late = [made_up_load.step("candidate", 100, 100), made_up_load.step("candidate", 200, 150, 300, sustained=False, late_ms=280)]
    told = "candidate: 100 a second were sustained, 200 were not; the requests themselves left 280 ms late"
    assert load_gates.knee(late, "candidate") == told
    assert load_gates.knee(late[:1], "candidate") == "candidate: 100 a second were sustained, and more was not asked for"


def test_memory_grows_by_its_slope_after_the_warm_up_and_a_single_jump_is_no_leak() -> None:
    settings, times = LoadTest(warm_up_s=2, duration_s=20), 100 + np.arange(0, 30, 0.5)
    leak = [(t, 200e6 if t < 102 else 200e6 + 2e6 * (t - 102)) for t in times]
    jump = [(t, 200e6 if t < 118 else 260e6) for t in times]
    found = {one.role: one for one in memory_use({"candidate": leak, "champion": jump}, 100, settings)}
    assert found["candidate"].growth == pytest.approx(40 / 200, rel=0.01)
    assert (found["candidate"].samples_mb[0], found["candidate"].samples_mb[-1]) == (200, 240)
    assert found["champion"].growth == 0


def test_memory_of_a_run_with_too_few_samples_is_not_told() -> None:
    assert memory_use({"candidate": [(100 + n, 1e8) for n in range(4)]}, 100, LoadTest()) == ()


def test_samples_in_a_file_read_as_they_were_written(tmp_path: Path) -> None:
    rows = np.array([(0, 0.0, 0.5, 12.5, 0), (1, 0.05, 0.25, 9.0, 2)], dtype=SAMPLE)
    (tmp_path / "samples.bin").write_bytes(rows.tobytes())
    found = read_samples(tmp_path / "samples.bin", LANES, ["HTTP 500", "HTTP 503"])
    assert found.astype(object).where(found.notna(), None).to_dict("records") == [
        {"offset_s": 0.0, "delay_ms": 0.5, "latency_ms": 12.5, "fault": None, "role": "candidate", "cache": False},
        {"offset_s": 0.05, "delay_ms": 0.25, "latency_ms": 9.0, "fault": "HTTP 503", "role": "champion", "cache": False},
    ]
    assert SAMPLE.itemsize == 18, "an hour at 1,000 a second is 65 MB"


def test_a_plan_keeps_the_spread_of_lengths_and_is_the_same_each_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    texts = ["x" * int(length) for length in rng.lognormal(4, 1, 50_000)]
    first, second = (load_plan(URL, texts, {"candidate": None}, LoadTest(), tmp_path) for _ in range(2))
    assert first == second
    drawn = [len(text) for text in first["texts"]]
    assert len(drawn) == MOST_TEXTS
    wanted = np.percentile([len(text) for text in texts], [10, 50, 90, 99])
    assert np.percentile(drawn, [10, 50, 90, 99]) == pytest.approx(wanted, rel=0.05)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes if (found := axes.get_legend()) for text in found.get_texts()]


def test_the_latency_picture_names_both_models_and_their_percentiles() -> None:
    report = made_up_load.load_report()
    told = [f"{s.role}: p50 {s.p50_ms:.0f}, p95 {s.p95_ms:.0f}, p99 {s.p99_ms:.0f} ms" for s in report.sides if not s.cache]
    assert words(load_pictures.latency_figure(report)) == ["candidate", "champion", *told]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_titles_and_legends_of_load_pictures_do_not_overlap(theme: Theme) -> None:
    report = summarise(URL, made_up_load.samples().assign(fault="HTTP 503"), LoadTest(), made_up_load.load_report().stairs)
    for draw in (load_pictures.latency_figure, load_pictures.timeline_figure, load_pictures.stairs_figure):
        figure = draw(report, theme)
        figure.canvas.draw()
        axes = figure.axes[0]
        title, legend = axes._left_title.get_window_extent(), axes.get_legend().get_window_extent()  # type: ignore[attr-defined,union-attr]
        assert title.x1 < legend.x0, draw.__name__
        for below in figure.axes:
            ticks = [text.get_window_extent() for text in below.get_xticklabels() if text.get_visible() and text.get_text()]
            assert all(a.x1 < b.x0 for a, b in pairwise(ticks)), draw.__name__


def test_load_pictures_are_drawn_in_both_themes(tmp_path: Path) -> None:
    names = load_pictures.draw_load(made_up_load.load_report(), tmp_path)
    assert set(names) == {f"{name}{theme}.png" for name in ("latency", "latency_timeline", "stairs") for theme in ("", "_dark")}
    themes: tuple[Theme, Theme] = ("light", "dark")
    for theme, name in zip(themes, ("stairs.png", "stairs_dark.png"), strict=True):
        paper = Image.open(tmp_path / name).convert("RGB").getpixel((1, 1))
        assert "#{:02x}{:02x}{:02x}".format(*paper) == PALETTES[theme].paper  # type: ignore[misc]


def test_a_load_test_without_stairs_has_no_picture_of_them(tmp_path: Path) -> None:
    report = summarise(URL, made_up_load.samples(), LoadTest())
    assert load_pictures.draw_load(report, tmp_path) == (
        "latency.png",
        "latency_timeline.png",
        "latency_dark.png",
        "latency_timeline_dark.png",
    )


def _champion(report: LoadReport):  # type: ignore[no-untyped-def]
    found = report.side("champion")
    assert found is not None
    return found
