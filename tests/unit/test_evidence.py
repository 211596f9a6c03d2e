"""The evidence page says everything, asks for nothing outside itself, and keeps strange texts harmless."""

import base64
import hashlib
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import made_up_evidence
import pytest

from headgate.evaluation.evidence import CostBasis, Drawn, Evidence, draw, headline, render, summary_markdown, write_evidence
from headgate.evaluation.evidence_cost import Cost, costs, fleet_costs
from headgate.evaluation.evidence_record import Fleet
from headgate.evaluation.evidence_rows import FLIPS_SHOWN, TEXT_SHOWN
from headgate.evaluation.evidence_summary import model_card_with_link

VOID = {"meta", "link", "img", "source", "circle", "line", "br", "rect", "path", "polyline", "input"}
HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>\"'`{{ 7*7 }}</title>"


class Reader(HTMLParser):
    """Collects texts, addresses and unbalanced tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return made_up_evidence.evidence(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def drawn(evidence: Evidence) -> Drawn:
    return draw(evidence)


@pytest.fixture(scope="module")
def page(evidence: Evidence, drawn: Drawn) -> str:
    return render(evidence, drawn)


def test_the_page_asks_for_nothing_outside_itself(page: str) -> None:
    addresses = read(page).addresses
    beside = {"data", "../checks/index.html", "predictions.parquet"}
    assert {address.split(":")[0] for address in addresses if not address.startswith("#")} == beside
    assert "default-src 'none'" in page


def test_only_the_page_s_own_script_may_run(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]+);", page) == [f"'sha256-{digest}'"]


def test_links_on_the_page_lead_somewhere(page: str) -> None:
    targets = {address[1:] for address in read(page).addresses if address.startswith("#")}
    assert targets <= set(re.findall(r'id="([\w-]+)"', page))
    assert {
        "gates",
        "changes",
        "confusion",
        "labels",
        "flips",
        "slices",
        "behaviour",
        "load",
        "cost",
        "shadow",
        "checks",
        "provenance",
    } <= targets


def test_verdicts_come_first_then_changes_then_quality_then_load_then_provenance(page: str) -> None:
    order = re.findall(r'<section id="(\w+)"', page)
    assert order == [
        "gates", "changes", "confusion", "reliability", "labels", "flips", "slices", "behaviour", "load", "cost",
        "shadow", "checks", "provenance",
    ]  # fmt: skip


def test_every_gate_label_and_digest_is_on_the_page(evidence: Evidence, page: str) -> None:
    text = read(page).text
    for gate in evidence.all_gates:
        assert gate.found in text
        assert gate.expected in text
    assert all(label in text for label in made_up_evidence.LABELS)
    assert evidence.subject.bundle_digest in text
    assert evidence.subject.commit in text
    assert evidence.subject.data.digest in text
    assert f"Harmful: {len(evidence.report.harmful)}" in text


def test_pictures_come_in_light_and_dark(page: str) -> None:
    assert page.count("<picture>") == 5
    assert page.count('media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,') == 5


def test_texts_cannot_become_markup(evidence: Evidence, drawn: Drawn) -> None:
    page = render(made_up_evidence.hostile(evidence, HOSTILE), drawn)
    found = read(page)
    assert page.count("<script") == 1
    assert page.count("</title>") == len(re.findall(r"<title>", page)), "a title cannot be closed early"
    assert found.text.count(HOSTILE) >= 14
    assert not any("evil" in address for address in found.addresses)


def test_characters_that_turn_text_around_are_shown_as_what_they_are(evidence: Evidence, drawn: Drawn) -> None:
    page = render(evidence.model_copy(update={"model": "a\u202eb\x00\u2066"}), drawn)
    assert "a\\u202eb\\u0000\\u2066: release candidate" in page
    assert not {"\u202e", "\x00", "\u2066"} & set(page)


def test_many_flips_are_cut_and_the_page_says_so(evidence: Evidence, drawn: Drawn) -> None:
    flip = evidence.report.harmful[0].model_copy(update={"text": "x" * 5000})
    many = tuple(flip.model_copy(update={"id": f"f{i}"}) for i in range(FLIPS_SHOWN + 7))
    page = render(evidence.model_copy(update={"report": evidence.report.model_copy(update={"harmful": many})}), drawn)
    assert f"Harmful: {FLIPS_SHOWN + 7:,}" in page
    assert "the 1,500 surest are shown, 7 more are in" in read(page).text
    assert page.count('<li class="flip">') == FLIPS_SHOWN + len(evidence.report.beneficial)
    assert "x" * TEXT_SHOWN + " ... (5,000 characters)" in page
    assert "x" * (TEXT_SHOWN + 1) not in page
    assert len(page) < 4_000_000


def test_what_cannot_be_told_is_said(evidence: Evidence, drawn: Drawn) -> None:
    unknown = read(render(evidence.model_copy(update={"code_changes": None, "setting_changes": None}), drawn)).text
    assert "Not available: no checkout here has both commits." in unknown
    assert "Not available: the champion's evidence does not say what its settings were." in unknown
    same = read(render(evidence.model_copy(update={"code_changes": (), "setting_changes": ()}), drawn)).text
    assert "No commit in between." in same
    assert "No setting changed." in same


def test_cost_follows_the_sustained_rate(evidence: Evidence, drawn: Drawn, page: str) -> None:
    assert costs(evidence.load, CostBasis(per_hour=0.36, currency="EUR", cores=2))[0] == Cost(
        role="candidate", predictions_per_s=160.0, instance_hours=1e6 / 160 / 3600, cpu_hours=2e6 / 160 / 3600, amount="0.62 EUR"
    )
    assert "0.59 USD" in read(page).text
    without = read(render(evidence.model_copy(update={"cost": CostBasis(cores=2)}), drawn)).text
    assert "What an instance hour costs is not set (load_test.cost_per_hour)." in without
    assert "CPU hours (2 cores)" in without
    assert "USD" not in without
    assert costs(None, CostBasis()) == ()


def test_a_release_on_fleets_is_priced_by_their_hours_and_the_measured_rate(evidence: Evidence, drawn: Drawn, page: str) -> None:
    assert "Fleets, and what this release costs" not in page
    fleet = Fleet(
        environment="production",
        place="us-east",
        instance_type="ml.c6i.large",
        instances=4,
        per_hour=0.36,
        currency="EUR",
        first_percent=25,
        release_hours=2.5,
    )
    basis = CostBasis(fleets=(fleet, fleet.model_copy(update={"environment": "staging", "per_hour": None})))
    priced, free = fleet_costs(evidence.load, basis)
    assert (priced.bears_per_s, priced.day, priced.million, priced.release) == (640.0, "34.56 EUR", "0.62 EUR", "0.90 EUR")
    assert (free.day, free.million, free.release) == (None, None, None)
    assert fleet_costs(None, basis)[0].bears_per_s is None
    shown = read(render(evidence.model_copy(update={"cost": basis}), drawn)).text
    for told in (
        "production (us-east)",
        "4 x ml.c6i.large; the first step is 25% of the traffic, which moves by whole instances",
        "640.0",
        "34.56 EUR",
        "0.62 EUR",
        "2.50",
        "0.90 EUR",
        "price not set",
    ):
        assert told in shown


def test_the_model_card_leads_to_the_evidence(evidence: Evidence) -> None:
    card = model_card_with_link("# replies\n", evidence, "http://gateway/page")
    assert card.startswith("# replies\n\n## Evidence\n\nAll ")
    assert card.endswith(" [Evidence page](http://gateway/page) (verdict: passed).\n")


def test_the_digest_is_that_of_the_page(evidence: Evidence, page: str, tmp_path: Path) -> None:
    digest = write_evidence(tmp_path, evidence)
    assert digest == hashlib.sha256((tmp_path / "index.html").read_bytes()).hexdigest()
    assert digest == hashlib.sha256(page.encode()).hexdigest(), "the same evidence gets the same digest"
    assert Evidence.model_validate_json((tmp_path / "evidence.json").read_bytes()) == evidence


def test_any_change_of_the_evidence_changes_the_page(evidence: Evidence, drawn: Drawn, page: str) -> None:
    assert render(evidence.model_copy(update={"provenance": {**evidence.provenance, "seed": "1"}}), drawn) != page
    assert render(evidence.model_copy(update={"made_at": evidence.made_at + timedelta(minutes=1)}), drawn) != page


def test_a_first_release_is_compared_with_the_linear_floor(tmp_path: Path) -> None:
    found = made_up_evidence.evidence(tmp_path, first_release=True)
    text = read(render(found, draw(found))).text
    assert (
        headline(found)
        == f"All {len(found.all_gates)} gates passed. There is no champion yet; the linear floor is what it is compared with."
    )
    assert "What it was trained on" in text
    assert "points vs linear floor" in text
    assert "Answers that flipped" not in text


def test_a_missing_load_test_or_data_check_is_inconclusive(evidence: Evidence, drawn: Drawn) -> None:
    assert evidence.verdict == "passed"
    assert evidence.model_copy(update={"load": None}).verdict == "inconclusive"
    assert evidence.model_copy(update={"data_checks": ()}).verdict == "inconclusive"
    assert "No load test was made." in render(evidence.model_copy(update={"load": None}), drawn)


def test_what_stops_the_release_comes_first(evidence: Evidence, drawn: Drawn) -> None:
    stopped = evidence.model_copy(update={"load": made_up_evidence.load_report(errors=20)})
    assert stopped.verdict == "failed"
    assert headline(stopped).startswith(
        f"2 of {len(stopped.all_gates)} gates stop it: Error rate, Arrival rate. Against the champion on 294 rows it loses "
    )
    gates = re.findall(r'<td class="name">([^<]+)</td>\s*<td class="verdict"><span class="pill (\w+)"', render(stopped, drawn))
    assert gates[:3] == [("Error rate", "failed"), ("Arrival rate", "failed"), ("Accuracy", "passed")]


def test_a_failed_critical_data_check_stops_and_a_warning_does_not(evidence: Evidence) -> None:
    *others, warning = evidence.data_checks
    critical = warning.model_copy(update={"severity": "critical"})
    assert evidence.model_copy(update={"data_checks": (*others, critical)}).verdict == "failed"


def test_the_summary_has_the_gates_and_the_link(evidence: Evidence) -> None:
    summary = summary_markdown(evidence, "http://127.0.0.1:4300/evidence")
    assert summary.startswith(f"## replies: passed\n\nAll {len(evidence.all_gates)} gates passed.")
    assert "**[Open the evidence page](http://127.0.0.1:4300/evidence)**" in summary
    assert "| Coverage | \N{WHITE HEAVY CHECK MARK} passed | 96.7% | at least 50.0% |" in summary
    assert "- [ ]" not in summary


def test_the_summary_tells_each_warning_of_the_data_checks_and_none_where_there_is_none(evidence: Evidence) -> None:
    warned = "| Conflicts | one label for the same text: 2 rows differ (r0412, r0770) |"
    assert f"| Warning of the data checks | What |\n| --- | --- |\n{warned}" in summary_markdown(evidence)
    sound = evidence.model_copy(update={"data_checks": tuple(check for check in evidence.data_checks if check.passed)})
    assert "Warning of the data checks" not in summary_markdown(sound)


def test_the_summary_keeps_strange_label_names_inside_their_cell(evidence: Evidence) -> None:
    strange = evidence.report.gates[0].model_copy(update={"found": "a|b\n`c` <img>"})
    changed = evidence.model_copy(update={"report": evidence.report.model_copy(update={"gates": (strange,)})})
    assert r"| a\|b \`c\` \<img\> |" in summary_markdown(changed)


def test_the_shadow_is_a_gate_with_its_agreement_and_prediction_ids(page: str) -> None:
    section = page.partition('<section id="shadow">')[2].partition("</section>")[0]
    assert "20% of the requests to replies-production were mirrored to the candidate for 151 s" in section
    shadow = made_up_evidence.shadow()
    agreed = shadow.pairs - shadow.disagreed
    assert f"<b>{agreed / 600:.1%}</b> of 600 texts got the same label" in section
    assert "Copies not sent because too many were under way: 4." in section
    assert f"Prediction ids of {600 - agreed} disagreements" in section
    assert section.count("9c3a9c3a-") == 600 - agreed
    assert "Seconds in which the same texts took longer than 1.25 times" in section


def test_a_failed_shadow_stops_the_release(tmp_path: Path) -> None:
    made = made_up_evidence.evidence(tmp_path)
    assert made.shadow is not None
    failed = made.model_copy(update={"shadow": made.shadow.model_copy(update={"verdict": "failed", "reason": "it crashed"})})
    assert failed.verdict == "failed"
    assert "Shadow" in headline(failed).partition("stop it: ")[2]


def test_a_skipped_shadow_is_told_and_stops_nothing(tmp_path: Path) -> None:
    first = made_up_evidence.evidence(tmp_path, first_release=True)
    assert "shadow" not in {gate.name for gate in first.all_gates}
    assert "Skipped: there is no champion yet whose requests could be mirrored." in render(first, draw(first))
    assert "Shadow: skipped: there is no champion yet" in summary_markdown(first)
