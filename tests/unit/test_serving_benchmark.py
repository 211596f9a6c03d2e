"""The pure parts of the serving benchmark: what wrk is given and says, the ratios, the table. The measurement itself is run by hand."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import serving
from serving_load import Body, check_wrk, escaped, read_load, write_texts
from serving_model import write_configs
from serving_processes import find_label
from serving_servers import SAME_ENGINE, SERVERS, Model, choose_servers
from serving_table import BASIS, find_ratios, markdown, summarise, unlike

LINE = 'HEADGATE {"requests": 900, "seconds": 3.0, "p50_ms": 4.5, "p99_ms": 20.25, "refused": 1, "lost": 2, "timed_out": 3, "status": 4}\n'


def load(per_cpu_s: float, rps: float = 0.0, p99_ms: float = 10.0, errors: int = 0) -> dict[str, float]:
    return {
        "per_cpu_s": per_cpu_s,
        "rps": rps or per_cpu_s * 2,
        "cores": (rps or per_cpu_s * 2) / per_cpu_s,
        "p50_ms": 5.0,
        "p99_ms": p99_ms,
        "errors": errors,
    }


def found(server: str, start_s: float, at_16: dict[str, float], at_64: dict[str, float], agreement: float = 1.0) -> dict[str, Any]:
    loads = {f"{texts} {number}": each for texts in ("distinct", "repeats") for number, each in ((16, at_16), (64, at_64))}
    held = {"largest_rss_mb": 90.0, "pss_mb": 150.0, "processes": 3}
    return {"server": server, "start_s": start_s, "start_cpu_s": start_s / 2, "agreement": agreement, "loads": loads, **held}


ROUNDS = [
    found("LitServe", 5.0, load(80, p99_ms=40), load(100, p99_ms=90)),
    found("FastAPI + pipeline()", 4.0, load(90, p99_ms=50), load(60, p99_ms=300)),
    found(SAME_ENGINE, 1.5, load(300), load(400, rps=500)),
    found("Headgate", 0.25, load(900, p99_ms=10), load(1200, p99_ms=30)),
]
STOCK = ("LitServe", "FastAPI + pipeline()")


def test_what_wrk_measured_is_read_from_our_own_line() -> None:
    output = f"Running 3s test @ http://127.0.0.1:1/\n{LINE}"
    assert read_load(output) == {"requests": 900, "seconds": 3.0, "p50_ms": 4.5, "p99_ms": 20.25, "errors": 10}


def test_a_run_without_our_line_is_an_error_that_tells_what_came() -> None:
    with pytest.raises(ValueError, match=r"^expected a line that starts with 'HEADGATE ' in wrk's output, found: 'unable to connect\\n'$"):
        read_load("unable to connect\n")


def test_a_machine_without_wrk_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match=r"expected the load generator wrk on the PATH, found none; apt-get install wrk"):
        check_wrk()


def test_texts_are_sent_as_json_on_one_line_and_none_twice(tmp_path: Path) -> None:
    texts = ['He said "no"\nand left', "über", "über"]
    write_texts(texts, tmp_path / "texts")
    lines = (tmp_path / "texts").read_text().splitlines()
    assert [json.loads(f'"{line}"') for line in lines] == texts[:2]
    assert escaped("über") == "\\u00fcber"


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_server_is_sent_json_that_holds_the_text(server: Any) -> None:
    assert 'a "b"' in str(json.loads(server.body.of('a "b"'))).replace("\\", "")


@pytest.mark.parametrize(
    "answer",
    [{"label": "a", "score": 1.0}, [{"label": "a"}], {"predictions": [{"label": "a"}]}, {"predictions": {"label": "a"}}],
)
def test_a_label_is_found_in_each_form_of_answer(answer: Any) -> None:
    assert find_label(answer) == "a"


@pytest.mark.parametrize("answer", [{}, [], {"predictions": []}, {"predictions": [{"label": None}]}, "a"])
def test_an_answer_without_a_label_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match="expected an answer with a label, found"):
        find_label(answer)


def test_ratios_are_ours_over_the_best_stock_peer_of_each_measure() -> None:
    ratios = find_ratios(summarise(ROUNDS, STOCK), engine=1500, hits_rps=30_000, ceiling_rps=60_000)
    assert ratios == {
        "best_stock_peer_cpu": 12.0,
        "best_stock_peer_rps_16": 10.0,
        "best_stock_peer_rps_64": 12.0,
        "p99_share_16": 0.25,
        "p99_share_64": pytest.approx(1 / 3),
        "litserve_same_engine": 3.0,
        "litserve_same_engine_rps": 4.8,
        "engine_share": 0.8,
        "start_up": 6.0,
        "start_up_cpu": 6.0,
        "start_up_stock": 16.0,
        "cache_hits_of_ceiling": 0.5,
    }
    assert set(ratios) == set(BASIS)


def test_a_peer_with_errors_is_compared_with_nothing() -> None:
    rounds = [found("LitServe", 5.0, load(80), load(100, errors=1)), *ROUNDS[1:]]
    assert find_ratios(summarise(rounds, STOCK), 1500, 30_000, 60_000)["best_stock_peer_cpu"] == 20.0


def test_what_was_not_measured_has_no_ratio() -> None:
    ratios = find_ratios(summarise([ROUNDS[-1]], STOCK), engine=1500, hits_rps=30_000, ceiling_rps=60_000)
    assert set(ratios) == {"engine_share", "cache_hits_of_ceiling"}


def test_a_row_holds_medians_all_errors_and_the_least_agreement() -> None:
    rounds = [
        found("LitServe", start, load(rate), load(rate, errors=1), share)
        for start, rate, share in ((5, 10, 1.0), (7, 40, 0.9), (6, 20, 1.0))
    ]
    (row,) = summarise(rounds, STOCK)
    assert (row["start_s"], row["loads"]["distinct 64"]["per_cpu_s"], row["agreement"], row["rounds"]) == (6, 20, 0.9, 3)
    assert row["errors"] == 6


def test_a_peer_that_cannot_run_has_a_line_that_says_why() -> None:
    lines = markdown(summarise(ROUNDS[-1:], STOCK), {"Ray Serve": "it ended with 1:\nno space"}, (16, 64)).splitlines()
    ours = "| Headgate | 900 / 1,200 | 1,800 / 2,400 | 2.00 / 2.00 | 5.0 / 5.0 | 10.0 / 30 | 1,800 / 2,400 | 0.25 (0.12) | 90 | "
    assert lines[2] == ours + "150 in 3 | 100% | 0 |"
    assert lines[3].startswith("| Ray Serve | not measured: it ended with 1: no space | - | - |")
    assert len({line.count("|") for line in lines}) == 1


def test_a_machine_that_gave_one_server_more_of_its_cores_is_told() -> None:
    assert unlike(summarise([ROUNDS[0], ROUNDS[3]], STOCK)) is None
    assert unlike(summarise(ROUNDS, STOCK)) == (
        "BUSY MACHINE: LitServe with our engine had 1.25 cores and LitServe 2.00 at 64 connections; "
        "do not compare requests/s, latency and start, only what is by CPU-second"
    )


def test_peers_are_chosen_by_the_start_of_their_name_and_ours_is_always_there() -> None:
    assert [each.name for each in choose_servers("litserve,Fast")] == ["FastAPI + pipeline()", "LitServe", SAME_ENGINE, "Headgate"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "ray,seldon"], "LitServe with our engine, found seldon"),
        (["--bundle", "b"], "--bundle and --classifier: expected both or neither"),
        (["--connections", "1,x"], "invalid literal"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serving.parse(arguments)
    assert message in capsys.readouterr().err


def test_quick_is_two_peers_once() -> None:
    options = serving.parse(["--quick"])
    assert (options.rounds, options.duration_s, len(options.servers)) == (1, 2.0, 4)


def test_headgate_runs_two_workers_with_one_thread_each(tmp_path: Path) -> None:
    ours = SERVERS[-1]
    assert ours.filled(Model(tmp_path, tmp_path / "bundle"), 8123)[2:] == [str(tmp_path / "bundle"), "--workers", "2", "--port", "8123"]
    assert ours.settings(Model(tmp_path, tmp_path), 8123)["OMP_NUM_THREADS"] == "1"


def test_another_encoder_than_bert_is_refused(tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ValueError, match=r"^--classifier: expected a BERT encoder, found roberta; mean_pooling\.py knows no other$"):
        write_configs(tmp_path, tmp_path, ["a"])


def test_a_body_carries_its_text() -> None:
    assert Body("/x", '{"inputs": ["', '"]}').of("a\nb") == b'{"inputs": ["a\\nb"]}'
