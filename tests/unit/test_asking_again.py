"""An inconclusive rollout: the same bundle is asked about again, over what was seen."""

import hashlib
import json

from made_up_release import NOW, RELEASE

from headgate.lake import FolderLake
from headgate.release.approval import decision_of
from headgate.release.asking_again import ask_again, with_section
from headgate.release.binding import require_evidence
from headgate.release.candidate import latest_outcome
from headgate.release.record import folder, load_release, release_ids, save_release
from headgate.release.rollout import Action, Analysis, Finding, Step, steps, write_step

PAGE = b'<main><h1>replies</h1><section id="gates">gates</section></main>'
BEFORE = RELEASE.model_copy(update={"evidence_digest": hashlib.sha256(PAGE).hexdigest()})
REASON = "inconclusive: 19 requests, needed 20 <of the canary>"
SEEN = Analysis(
    requests=19,
    champion_requests=80,
    findings=(
        Finding(metric="p95_ms", challenger=12.5, champion=10, limit=1.2, unit="times", evidence=0.2, needed=700, verdict="within limits"),
    ),
)


def kept_release(folder_of_lake) -> FolderLake:
    lake = FolderLake(folder_of_lake)
    save_release(lake, BEFORE)
    for name, data in (("index.html", PAGE), ("summary.md", b"Tests passed."), ("evidence.json", b"{}")):
        lake.put_if_absent(f"{folder(BEFORE.id)}/evidence/{name}", data)
    write_step(lake, BEFORE.id, Step(number=0, environment="production", action=Action(kind="deploy", reason=""), phase="intent", at=NOW))
    return lake


def test_the_question_is_about_a_new_record_with_one_section_more_and_no_answer_yet(tmp_path):
    lake = kept_release(tmp_path)
    asked = ask_again(lake, BEFORE, "production", REASON, SEEN, "live")
    assert asked == load_release(lake, asked.id)
    assert asked.model_copy(update={"evidence_digest": BEFORE.evidence_digest, "expected_champion": None}) == BEFORE
    assert asked.expected_champion == "live"
    require_evidence(lake, asked)
    assert (decision_of(lake, asked.id), steps(lake, asked.id)) == (None, [])
    newest = latest_outcome(lake, asked.model, asked.candidate)
    assert newest is not None
    assert newest.release == asked.id


def test_its_page_summary_and_record_say_what_was_seen(tmp_path):
    lake = kept_release(tmp_path)
    asked = ask_again(lake, BEFORE, "production", REASON, SEEN, None)
    page = lake.read(f"{folder(asked.id)}/evidence/index.html").decode()
    told = "inconclusive: 19 requests, needed 20 &lt;of the canary&gt;. All weight went back to the champion.</p>"
    assert told in page
    assert "<td>p95_ms</td><td>12.5 ms</td><td>10 ms</td><td>1.2 times</td><td>0.2 to 1, needed 700</td><td>within limits</td>" in page
    assert page.index("What an earlier rollout saw") < page.index('<section id="gates">')
    assert lake.read(f"{folder(asked.id)}/evidence/summary.md").decode() == (
        f"**An earlier rollout in production was {REASON}**\n\nTests passed."
    )
    record = json.loads(lake.read(f"{folder(asked.id)}/evidence/rollout-{BEFORE.id[:12]}.json"))
    assert Analysis.model_validate(record["analysis"]) == SEEN
    assert lake.read(f"{folder(asked.id)}/evidence/evidence.json") == b"{}"


def test_asking_twice_asks_once(tmp_path):
    lake = kept_release(tmp_path)
    first = ask_again(lake, BEFORE, "production", REASON, SEEN, None)
    assert ask_again(lake, BEFORE, "production", REASON, SEEN, None) == first
    assert len(release_ids(lake)) == 2
    assert len(lake.keys(f"candidates/{BEFORE.model}/{BEFORE.candidate}/outcomes")) == 1


def test_a_second_inconclusive_rollout_adds_its_own_section(tmp_path):
    lake = kept_release(tmp_path)
    first = ask_again(lake, BEFORE, "production", REASON, SEEN, None)
    second = ask_again(lake, first, "production", "inconclusive: 3 requests, needed 20", None, None)
    page = lake.read(f"{folder(second.id)}/evidence/index.html").decode()
    assert page.count("What an earlier rollout saw") == 2
    assert "Nothing was compared." in page


def test_a_page_without_gates_gets_the_section_at_its_end():
    assert with_section(b"<p>old</p>", "<p>new</p>") == b"<p>old</p><p>new</p>"
