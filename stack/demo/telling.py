"""Tells the story: brings the stack up, plays the acts that are left, writes the page, takes the stack down."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from headgate.checkout import commit
from headgate.errors import HeadgateError, Refused
from stack.demo.acts import ACTS, REPLIES, Act
from stack.demo.place import FILTER, Place, plain_settings
from stack.demo.record import ActRecord, Beginning, Story, digest_of, fresh_start, still_to_tell
from stack.demo.scene import ActFailed, Scene
from stack.demo.traffic import Traffic

Say = Callable[[str], None]


def tell_story(home: Path, step: bool, keep: bool, again: bool, say: Say) -> int:
    """Play what is left of the story in a home; returns the exit code."""
    place = Place(home.absolute())
    if step and not sys.stdin.isatty():
        raise Refused("--step waits for Enter between the acts: expected a terminal, found none; leave --step out")
    with _alone(place):
        story, left = _set_out(place, again, say)
        traffic = Traffic(place.production, place.story / "traffic.jsonl", _texts())
        scene = Scene(place, traffic, say)
        try:
            _stack_up(scene, story)
            with traffic:  # the endpoints of an earlier run answer again by now
                failed = _play(scene, story, left, step)
        except KeyboardInterrupt:
            say("\nInterrupted. Run it again to go on with this act; --again starts from nothing.")
            failed = "interrupted"
        except HeadgateError as fault:  # of the stack itself; an act's own is kept with the act
            say(f"FAILED: {fault}\n  look at {scene.log} and the logs in {place.home / 'logs'}")
            failed = "stack"
        return _finish(scene, story, keep, failed)


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """One demo at a time in a home."""
    place.home.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.home.with_name(f".{place.home.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Refused(f"{place.home}: another demo runs there; wait for its end, or give another --home") from None
    try:
        yield
    finally:
        lock.release()


def _set_out(place: Place, again: bool, say: Say) -> tuple[Story, list[int]]:
    """A fresh story, or the rest of the one that was begun."""
    story, digest = Story(place.story), digest_of(plain_settings(), FILTER, *(act.name for act in ACTS))
    why = fresh_start(story.begun(), digest, story.acts(), len(ACTS), again)
    if why:
        _start_over(place, story, digest, why, say)
    left = still_to_tell([act.name for act in ACTS], story.acts())
    if not why and left:
        say(f"goes on with act {left[0] + 1} of {len(ACTS)}; the acts before were told already ({place.home})")
    return story, left


def _start_over(place: Place, story: Story, digest: str, why: str, say: Say) -> None:
    say(f"starts from nothing in {place.home}: {why}")
    place.require_own()
    if place.settings.exists():
        Scene(place, _silent(place), lambda _: None, log=Path("/dev/null")).headgate("stop")
    place.forget()
    place.set_settings(plain_settings())
    story.begin(Beginning(digest=digest, commit=commit(), at=datetime.now(UTC)))


def _silent(place: Place) -> Traffic:
    return Traffic(place.production, place.story / "traffic.jsonl", ())


def _texts() -> list[str]:
    """What production's clients write about: the regression texts, which no candidate was trained on."""
    return [json.loads(line)["text"] for line in (REPLIES / "regression.jsonl").read_text(encoding="utf-8").splitlines()]


def _play(scene: Scene, story: Story, left: Sequence[int], step: bool) -> str:
    """The acts that are left, each kept when it came to its end; the name of one that failed."""
    for number in left:
        act = ACTS[number]
        if step:
            input(f"\nEnter for act {number + 1}: {act.title} ")
        played = _act(scene, story, number, act)
        story.keep(played)
        if played.failed:
            return act.name
        scene.show(f"  ({played.seconds:.0f} s)")
    return ""


def _stack_up(scene: Scene, story: Story) -> None:
    began = time.monotonic()
    scene.show("\nThe local stack: Prefect, MLflow, worker, gateway, in a home of its own")
    scene.log = _log(story, "stack")
    scene.headgate("up")
    scene.show(f"  ({time.monotonic() - began:.0f} s)")


def _act(scene: Scene, story: Story, number: int, act: Act) -> ActRecord:
    """Play one act; what fails is kept with its reason."""
    scene.show(f"\nAct {number + 1} of {len(ACTS)}: {act.title}")
    scene.told, scene.log = [], _log(story, act.name)
    began = datetime.now(UTC)
    record = ActRecord(number=number, name=act.name, title=act.title, began=began, ended=began)
    try:
        facts, failed = act.perform(scene), ""
    except HeadgateError as fault:
        facts, failed = {}, str(fault)
        scene.show(f"  FAILED: {fault}")
        scene.show(f"  look at {scene.log}, the logs in {scene.place.home / 'logs'}, and the flow runs in Prefect (headgate demo --keep)")
    return record.model_copy(update={"ended": datetime.now(UTC), "told": tuple(scene.told), "facts": facts, "failed": failed})


def _log(story: Story, name: str) -> Path:
    """What an act's commands print, whole."""
    story.folder.mkdir(parents=True, exist_ok=True)
    return story.folder / f"{name}.log"


def _finish(scene: Scene, story: Story, keep: bool, failed: str) -> int:
    """The page, then the end of the stack."""
    from stack.demo.page import write_page  # matplotlib takes a while

    if story.acts():
        told = write_page(scene.place, story)
        scene.show("\n" + "\n".join(told))
    scene.log = _log(story, "stack")
    if keep:
        scene.show(f"the stack is kept: Prefect {scene.place.address('prefect')}, MLflow {scene.place.address('mlflow')}")
        scene.show(f"stop it with: HEADGATE_HOME={scene.place.home} HEADGATE_TOML={scene.place.settings} headgate stop")
    else:
        try:
            scene.headgate("stop")
        except ActFailed as fault:
            scene.show(str(fault))
    if story.acts():
        scene.show(f"the story on one page: {scene.place.page}")
    return 1 if failed else 0
