"""The story, act by act. Each act can be told again from its beginning: it looks first at what is done."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headgate.release.approval import decision_of
from headgate.release.candidate import latest_outcome
from headgate.release.record import Release, load_release
from headgate.release.shadow import told
from stack.demo.observed import latencies_of, moves_of, quality_of, question_of, rolled_back, seconds_at_share, shadow_of
from stack.demo.place import EXAMPLES, MODEL, WORSE, plain_settings, slow_settings, worse_settings
from stack.demo.planting import known_rows, mended, poisoned, write_rows
from stack.demo.scene import Scene, fail

Facts = dict[str, Any]
REPLIES = Path("examples") / "replies"
GRACE, ONCALL = "grace@example.com", "oncall@example.com"
LONG_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Act:
    """One part of the story: its name, what it does in one line, and how."""

    name: str
    title: str
    perform: Callable[[Scene], Facts]


def first_release(scene: Scene) -> Facts:
    """Annotations of the first day go to production."""
    scene.headgate("run", "--model", MODEL, "--approver", GRACE, "--reason", "first release")
    live = scene.live()
    scene.say(f"release {live.release[:12]} is champion in production: {quality_of(scene.lake, live.release)}")
    scene.ask("Please take me off your list and never write again.")
    scene.say(f"from now on production's clients send {scene.traffic.rate_per_s:g} mails a second, to the end of the story")
    return {"release": live.release}


def annotations_arrive(scene: Scene) -> Facts:
    """A file in the landing folder sets off a training by itself."""
    before = scene.live().release
    _drop(scene, REPLIES / "batch1.jsonl")
    training = scene.wait(
        "a training of data version 1",
        lambda: next((one for one in scene.trainings() if one.training.data_version == 1), None),
    ).training
    scene.say(f"training {training.number} was set off by {training.started_by}: {training.reason}")
    scene.wait(
        f"the end of training {training.number}",
        lambda: next((one for one in scene.trainings() if one.training.number == training.number and not one.open), None),
    )
    release = _passed(scene, training.candidate)
    scene.expect(scene.live().release == before, f"champion {before[:12]} until a person approves", scene.live().release[:12])
    scene.say(f"release {release.id[:12]} passed its tests, and waits: {quality_of(scene.lake, release.id)}")
    _tell_shadow(scene, release.id)
    return {"release": release.id, "training": training.reason, "started_by": training.started_by}


def better_model(scene: Scene) -> Facts:
    """A person approves; canary in pre-production, then in production."""
    release = _tested(scene, next(one for one in scene.trainings() if one.training.data_version == 1).candidate)
    text, label = question_of(scene.lake, release.id)
    was = scene.ask(text)
    _approve(scene, release, "better on the same rows, and nothing in the shadow speaks against it", expect=(0,))
    scene.expect(scene.live().release == release.id, f"champion {release.id[:12]}", scene.live().release[:12])
    _tell_rollout(scene, release.id)
    now = scene.ask(text)
    scene.say(f"an annotator calls it {label}; it was {was.label}, and is {now.label}")
    return {"release": release.id, "question": text, "label": label, "before": was.label, "after": now.label}


def poisoned_batch(scene: Scene) -> Facts:
    """Replies come back with the labels of their neighbours; then they are mended."""
    before, known = scene.live().release, known_rows(REPLIES / "day0.jsonl", REPLIES / "batch1.jsonl")
    folder = scene.place.home / "files"
    file = folder / "poisoned.jsonl"
    if not file.exists():
        write_rows(file, poisoned(known, datetime.now(UTC)))
    wrong = known_rows(file)
    scene.say(f"{len(wrong)} known replies come back with the label of the next one ({file.name}, planted)")
    scene.headgate("ingest", str(file), "--model", MODEL)
    ended = scene.wait(
        "an outcome of the training of data version 2",
        lambda: next((one for one in scene.trainings() if one.data_version == 2 and not one.open), None),
    )
    why = ended.outcome.stopped if ended.outcome else ended.told
    scene.expect(bool(ended.outcome and not ended.outcome.release), "the data checks to stop it before the training", ended.told)
    scene.say(f"training {ended.training.number}, set off by {ended.training.started_by}, was stopped: {why}")
    scene.expect(scene.live().release == before, f"champion {before[:12]}", scene.live().release[:12])
    right = folder / "mended.jsonl"
    if not right.exists():
        write_rows(right, mended(known, wrong, datetime.now(UTC)))
    scene.headgate("ingest", str(right), "--model", MODEL)
    return {"why": why, "rows": len(wrong), "candidate": ended.candidate, "started_by": ended.training.started_by}


def worse_model(scene: Scene) -> Facts:
    """A shorter training, chosen in good faith, makes a model that the regression test stops."""
    before = scene.live().release
    scene.place.set_settings(worse_settings())
    scene.say(f"somebody sets {WORSE[1].replace(chr(10), ' and ')} in headgate.toml, for a shorter training (planted)")
    scene.headgate("run", "--model", MODEL, expect=(1,))
    release = _newest(scene)
    why = _stopped(scene, release)
    scene.expect(
        release.verdict != "passed" and "against_champion" in why, "a stop by comparison with the champion", why or release.verdict
    )
    scene.say(f"release {release.id[:12]} was stopped: {why}")
    scene.expect(scene.live().release == before, f"champion {before[:12]}", scene.live().release[:12])
    scene.place.set_settings(plain_settings())
    return {"release": release.id, "why": why}


def slow_model(scene: Scene) -> Facts:
    """A filter that no test finds slow meets production's long mails in the canary, and goes back by itself."""
    before = scene.live().release
    scene.place.set_settings(slow_settings())
    scene.say(f"a filter of the team's own comes into the bundle: {EXAMPLES / 'account_filter'} (planted: slow on texts that no test has)")
    scene.headgate("run", "--model", MODEL, expect=(0, 1))
    release = _passed(scene, scene.trainings()[-1].candidate)
    tested = latencies_of(scene.lake, release.id)
    scene.say("it passed its tests; p95 on staging: " + ", ".join(f"{role} {ms:.0f} ms" for role, ms in tested.items()))
    _tell_shadow(scene, release.id)
    scene.traffic.long_share = LONG_SHARE
    scene.say(f"from now on {LONG_SHARE:.0%} of production's mails are long ones (a customer has joined)")
    try:
        _approve(scene, release, "as good as before, and key accounts are left to people", expect=(1,))
    finally:
        scene.traffic.long_share = 0.0
    moves = moves_of(scene.lake, release.id)
    back = rolled_back(moves) or fail("expected a rollback, found none in the rollout's steps")
    scene.expect(back.environment == "production", "a rollback in production", back.environment)
    scene.expect("ms" in back.action.reason and back.action.verdict == "failed", "a rollback for its latency", back.action.reason)
    _tell_rollout(scene, release.id)
    for environment in ("pre-production", "production"):
        now = scene.live(environment).release
        scene.expect(now == before, f"champion {before[:12]} in {environment}", now[:12])
        scene.say(f"champion in {environment}: release {now[:12]}, as before")
    return {"release": release.id, "why": back.action.reason, "tested": tested, "long_share": LONG_SHARE}


def rollback_by_hand(scene: Scene) -> Facts:
    """One command takes production back to the first release."""
    newest, first = _first_two(scene)
    text, _ = question_of(scene.lake, newest)
    scene.ask(text)
    scene.headgate("rollback", "--model", MODEL, "--as", ONCALL, "--reason", "a customer finds the answers odd", "--to", first[:12])
    now = scene.live().release
    scene.expect(now == first, f"champion {first[:12]}", now[:12])
    answer = scene.ask(text)
    scene.expect(answer.release == first, f"an answer by {first[:12]}", answer.release[:12])
    return {"release": newest, "to": first}


ACTS = (
    Act("first-release", "The first release: from annotations to a production endpoint", first_release),
    Act("annotations", "New annotations arrive and set off a training; its model is shadowed", annotations_arrive),
    Act("better-model", "The better model is approved, canaried in pre-production and production, and promoted", better_model),
    Act("poisoned-batch", "A poisoned batch of annotations is stopped by the data checks", poisoned_batch),
    Act("worse-model", "A worse model is stopped by the regression test", worse_model),
    Act("slow-model", "A slow model that passed its tests is rolled back in the canary", slow_model),
    Act("rollback", "A rollback by hand", rollback_by_hand),
)


def _drop(scene: Scene, file: Path) -> None:
    """Put a file into the landing folder as annotators do: under another name first, so that it appears whole."""
    landing = scene.place.home / "lake" / "landing" / MODEL
    if (landing / file.name).exists():
        scene.say(f"{file.name} lies in the landing folder already")
        return
    partial = landing / f".{file.name}.part"
    partial.write_bytes(file.read_bytes())
    partial.rename(landing / file.name)
    scene.say(f"{file} was dropped into {landing}")


def _tested(scene: Scene, candidate: str) -> Release:
    """The release that a candidate became."""
    outcome = latest_outcome(scene.lake, MODEL, candidate)
    if outcome is None or outcome.release is None:
        told = outcome.stopped if outcome else "its training did not come to an end; see the Prefect UI"
        fail(f"candidate {candidate}: expected a tested release, found none: {told}")
    return load_release(scene.lake, outcome.release)


def _passed(scene: Scene, candidate: str) -> Release:
    """The release of a candidate that passed its tests; one that was stopped is tested again once, as on a machine that was too busy."""
    release = _tested(scene, candidate)
    if release.verdict != "passed":
        scene.say(f"release {release.id[:12]} was stopped: {_stopped(scene, release)}; it is tested again, for this machine may be busy")
        scene.headgate("retest", release.id[:12], "--as", GRACE, expect=(0, 1))
        release = _tested(scene, candidate)
    scene.expect(release.verdict == "passed", f"release {release.id[:12]} to pass its tests", _stopped(scene, release))
    return release


def _newest(scene: Scene) -> Release:
    """The release that the last training became."""
    return _tested(scene, scene.trainings()[-1].candidate)


def _stopped(scene: Scene, release: Release) -> str:
    outcome = latest_outcome(scene.lake, MODEL, release.candidate)
    return (outcome.stopped or "") if outcome else ""


def _approve(scene: Scene, release: Release, why: str, expect: tuple[int, ...]) -> None:
    """Approve, or follow what was approved before this act was cut off."""
    if decision_of(scene.lake, release.id):
        scene.headgate("run", "--model", MODEL, expect=expect)
    else:
        scene.headgate("approve", release.id[:12], "--as", GRACE, "--reason", why, expect=expect)


def _tell_shadow(scene: Scene, release: str) -> None:
    """What copies of production's requests showed before anybody was asked; ActFailed where there was no shadow."""
    shadow = shadow_of(scene.lake, release)
    if shadow is None or shadow.verdict != "passed":
        fail(f"expected a shadow that passed, found {told(shadow) if shadow else 'none'}")
    scene.say(f"its shadow answered copies of production's requests for {shadow.duration_s:.0f} s: {told(shadow)}")
    most = ", ".join(f"{mine} for {was} {count} times" for was, mine, count in shadow.most_disagreed(3))
    scene.say(f"it says otherwise most often: {most or 'nowhere'}")


def _tell_rollout(scene: Scene, release: str) -> None:
    """How the watch ended in each environment."""
    for step in moves_of(scene.lake, release):
        if step.action.kind in ("promote", "roll_back"):
            seconds = seconds_at_share(scene.lake, release, step.environment)
            told = f" after {seconds:.0f} s" if seconds is not None else ""
            scene.say(f"{step.environment}: {step.action.kind.replace('_', ' ')}{told} - {step.action.reason}")


def _first_two(scene: Scene) -> tuple[str, str]:
    """The better model and the first one, whichever is live: this act may have been cut off."""
    live = scene.live()
    both = (live.release, live.previous[0]) if live.previous else fail("expected an earlier release, found none")
    newest, first = sorted(both, key=lambda name: -int(load_release(scene.lake, name).registered_version))
    return newest, first
