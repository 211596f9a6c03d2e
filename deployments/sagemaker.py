"""Endpoints on SageMaker in one region of AWS: it shifts traffic by itself, by the plan that the machine submits, and decides nothing here.

What is settled is SageMaker's own: an endpoint names its configuration, which names models, which are revisions (`sagemaker_objects`). A
change makes what it needs under names that are digests, then switches the endpoint with one call, then puts away what is left over. Doing
so again does nothing; a change that was killed anywhere is finished by repeating it. Decision 0030 says why.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from deployments import layout as layouts
from deployments.layout import Layout, ran_here
from deployments.observations import summarize
from deployments.sagemaker_asking import Asking
from deployments.sagemaker_bounds import deployment_faults, model_faults
from deployments.sagemaker_captures import Call, Captures, pairs
from deployments.sagemaker_changes import Changes, require_none
from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_metrics import measure
from deployments.sagemaker_objects import STANDS_BY, Cast, config_request, named
from deployments.sagemaker_plan import alarm_names, alarms, deployment_config, share_of
from deployments.sagemaker_repair import Repair
from deployments.sagemaker_state import Fleet, Now, States
from deployments.target import Answers, Cohort, EndpointStatus, Mirrored, Observation, Plan, Progress, Revision, Running, Split
from headgate.errors import NotFound, Refused, Stale
from headgate.model.signing import verify_digest
from headgate.release.verification import running_of
from headgate.settings import SageMakerRegion

KEPT = 20
NOTHING_HERE = "nothing is deployed here"
MADE_AGAIN = "it failed and was deleted, to be made anew with this champion; `headgate rollback` goes on with that"
QUESTION = {"instances": [{"text": "Which release answers here?"}]}


@dataclass(frozen=True)
class SageMakerTarget:
    """The endpoints of one region. `keep` releases stay as models and configurations, so that going back to one makes nothing new.

    `sleep` lets seconds pass between looks, `clock` says when captures and metrics end.
    """

    place: SageMakerRegion
    clients: Clients
    public_key: Path | None = None
    keep: int = KEPT
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    routing: Literal["stepwise", "native"] = "native"

    @cached_property
    def states(self) -> States:
        """What reads endpoints."""
        return States(self.clients)

    @cached_property
    def changes(self) -> Changes:
        """What changes endpoints."""
        return Changes(self.place, self.clients, self.states, self.keep, self.sleep)

    @cached_property
    def repair(self) -> Repair:
        """What makes endpoints that failed again."""
        return Repair(self.changes)

    @cached_property
    def asking(self) -> Asking:
        """What asks endpoints."""
        return Asking(self.clients, self.states)

    @cached_property
    def captures(self) -> Captures:
        """What reads captured answers."""
        return Captures(self.clients.s3)

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Let the revision stand by as a model without servers; an endpoint's first revision becomes its champion. Idempotent."""
        if self.public_key:
            verify_digest("bundle", revision.bundle_digest, revision.signature, self.public_key)
        model = self.changes.model(endpoint, revision)
        now = self.repair.begun(endpoint)
        if now is None or now.status in ("Creating", "Deleting") or (now.status == "Failed" and not now.served):
            self.changes.create(endpoint, Cast(champion=model), revision)
            return self.status(endpoint)
        if now.status != "Failed" and revision.release in self.states.layout(now).releases():
            return self.status(endpoint)
        self.changes.require_still(now)
        if now.config.cast.shape != "single":
            now = self.changes.switch(endpoint, Cast(champion=now.config.cast.champion, previous=now.config.cast.previous))
        self.changes.mark(now, model)
        return self.status(endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""
        layout = self._served(endpoint, now := self.states.now(endpoint))
        if now is None:
            return EndpointStatus(endpoint=endpoint, detail=MADE_AGAIN if layout.champion else NOTHING_HERE, **dict(layout))
        url = f"https://runtime.sagemaker.{self.place.region}.amazonaws.com/endpoints/{endpoint}/invocations"
        serves = now.status in ("InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed")
        detail = "" if now.status == "InService" else f"{now.status}: {now.reason}".rstrip(": ")
        return EndpointStatus(endpoint=endpoint, url=url, ready=serves, detail=detail, **dict(layout))

    def check(self, endpoint: str, plan: Plan) -> None:
        """Refused tells all that SageMaker cannot do of the plan in this region; changes nothing, and asks nobody."""
        config = config_request(endpoint, Cast(champion=named(endpoint, {})), self.place, keep_texts=True)
        name = config["EndpointConfigName"]
        deployment = deployment_config(plan, self.place, name)
        requests = [("CreateEndpointConfig", config), ("UpdateEndpoint", self.changes.update_request(endpoint, name, deployment))]
        found = self.changes.faults(requests) + deployment_faults(deployment, self.place.instance_count)
        metrics = self.clients.cloudwatch.meta.service_model.operation_model("PutMetricAlarm")
        found += [fault for one in alarms(endpoint, name, plan, self.place.max_p99_ms) for fault in model_faults(metrics, one)]
        require_none(endpoint, found)

    def submit(self, endpoint: str, plan: Plan) -> EndpointStatus:
        """Let SageMaker shift all traffic to the challenger by the plan, and return at once. Idempotent."""
        self.check(endpoint, plan)
        now = self.changes.known(endpoint)
        layout = self.states.layout(now)
        if layout.champion and layout.champion.release == plan.release:
            return self.status(endpoint)
        if layout.challenger is None or layout.challenger.release != plan.release:
            found = layout.challenger.release if layout.challenger else "none"
            raise Stale(f"endpoint {endpoint}: expected {plan.release} as the challenger, found {found}; deploy it again")
        if now.pending and now.pending.cast.champion != now.config.cast.champion:
            return self.status(endpoint)  # under way already
        self.changes.require_still(now)
        cast, model = now.config.cast, now.config.cast.challenger or now.marks[STANDS_BY]
        if cast.shape != "single":  # SageMaker shifts between fleets of the same variants
            self.changes.mark(now, model)
            now = self.changes.switch(endpoint, Cast(champion=cast.champion, previous=cast.previous))
        config = self.changes.config(endpoint, Cast(champion=model, previous=now.config.name), layout.challenger)
        for alarm in alarms(endpoint, config, plan, self.place.max_p99_ms):
            with answered(f"alarm {alarm['AlarmName']}"):
                self.clients.cloudwatch.put_metric_alarm(**alarm)
        self.changes.set_stop(config, "OK", "the update begins")
        self.changes.update(endpoint, config, deployment_config(plan, self.place, config))
        return self.status(endpoint)

    def progress(self, endpoint: str, release: str) -> Progress:
        """How far the release is on its way to all traffic, by SageMaker's own word; changes nothing."""
        if (now := self.states.now(endpoint)) is None:
            return Progress(reason=f"no endpoint {endpoint}")
        if now.broken:
            return Progress(state="failed", reason=f"{now.status}: {now.reason}".rstrip(": "))
        champion = self.states.revision(now.config.cast.champion).release
        if now.status == "RollingBack":
            return Progress(state="going_back", reason=self._why_back(now))
        if now.moving:
            comes = now.pending is not None and self.states.revision(now.pending.cast.champion).release == release
            if comes or champion == release:
                percent, since = share_of(now.described["PendingDeploymentSummary"]) if comes else (0, None)
                return Progress(state="shifting", percent=percent, since=since)
            return Progress(reason=f"the endpoint is {now.status}, but not to release {release[:12]}")
        if champion == release:
            return Progress(state="done", percent=100)
        if self._was_submitted(now, release):
            return Progress(state="rolled_back", reason=self._why_back(now))
        return Progress(reason=self._why_back(now))

    def set_split(self, endpoint: str, split: Split) -> EndpointStatus:
        """Share the requests out between two variants, or mirror them to a shadow variant; Refused for both at once. Idempotent."""
        now = self.changes.settled(endpoint)
        layout = layouts.share(endpoint, split)(self.states.layout(now))
        if split.shadow and split.challenger:
            raise Refused(f"endpoint {endpoint}: expected a split or a shadow, found both; SageMaker has one variant of each then")
        if layout.challenger is None:
            return self.status(endpoint)
        cast = now.config.cast
        model = cast.challenger or now.marks[STANDS_BY]
        shape: Literal["shadow", "side_by_side"] = "shadow" if split.shadow else "side_by_side"
        wanted = Cast(champion=cast.champion, challenger=model, shape=shape, shadow_percent=split.shadow, previous=cast.previous)
        if wanted != cast:
            now = self.changes.switch(endpoint, wanted)
        if shape == "side_by_side" and self.states.layout(now).split != split:
            self.changes.weigh(endpoint, split)
        return self.status(endpoint)

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""
        now = self.changes.settled(endpoint)
        wanted = layouts.promote(endpoint, release)(self.states.layout(now))
        cast = now.config.cast
        if self.states.revision(cast.champion).release != release or cast.shape != "single":
            assert wanted.champion
            model = self.changes.model_of(endpoint, now, wanted.champion)
            now = self.changes.switch(endpoint, Cast(champion=model, previous=now.config.name if model != cast.champion else cast.previous))
        self.changes.put_away(endpoint, now)
        return self.status(endpoint)

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        """Drop the challenger and give the champion all traffic; a revision becomes champion again instead. Idempotent.

        An update under way is stopped first. An endpoint that failed is made anew; so is one that is gone, where a revision is named.
        """
        now = self.changes.present(endpoint)
        before = self._served(endpoint, now)
        if to and self.public_key and not ran_here(before, to.bundle_digest):
            verify_digest("bundle", to.bundle_digest, to.signature, self.public_key)
        if (goal := to or before.champion) is None:
            raise NotFound(f"no endpoint {endpoint} in {self.place.region} has a champion; a release makes one")
        if now is None:
            self.repair.anew(endpoint, goal)
            return self.status(endpoint)
        model = self.changes.model_of(endpoint, now, goal)
        if now.moving:
            now = self.changes.stopped(endpoint, now, model)
        cast = now.config.cast
        same = cast.champion == model
        wanted = Cast(champion=model, previous=cast.previous if same else now.config.name)
        if now.broken:
            now = self.repair.repaired(endpoint, now, wanted, goal)
        elif wanted != cast:
            now = self.changes.switch(endpoint, wanted)
        self.changes.put_away(endpoint, now)
        return self.status(endpoint)

    def observe(
        self,
        endpoint: str,
        window_s: float,
        correction_wait_s: float | None = None,  # noqa: ARG002 - of the Protocol; there is nothing to wait for
    ) -> tuple[Observation, ...]:
        """What champion, challenger and previous answered in the last window_s seconds; changes nothing.

        Users' corrections do not reach the servers of a SageMaker endpoint, so that there are none.
        """
        now = self.changes.known(endpoint)
        until = self.clock()
        since = until - timedelta(seconds=window_s)
        return tuple(self._observed(endpoint, fleet, since, until) for fleet in self.states.fleets(now))

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """All captured answers of champion and challenger from since to until; changes nothing."""
        lines: list[Mapping[str, Any]] = []
        failed = {}
        for fleet in self.states.fleets(self.changes.known(endpoint)):
            if fleet.cohort != "previous":
                calls = self._calls(endpoint, fleet, since, until)
                lines += [{**line, "cohort": fleet.cohort} for call in calls for line in call.lines]
                failed[fleet.cohort] = self._failed(endpoint, fleet, since, until)
        return Answers(lines, failed, {})

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""
        now, until = self.changes.known(endpoint), self.clock()
        if now.config.cast.shape != "shadow":
            return Mirrored()
        since = until - timedelta(seconds=window_s)
        champion, shadow = (one for one in self.states.fleets(now) if one.cohort != "previous")
        ours, theirs = (self._calls(endpoint, fleet, since, until) for fleet in (champion, shadow))
        found, unpaired = pairs(ours, theirs)
        return Mirrored(
            pairs=tuple(found),
            unpaired=unpaired,
            errors=self._failed(endpoint, shadow, since, until),
            champion_requests=sum(len(call.lines) for call in ours),
            champion_errors=self._failed(endpoint, champion, since, until),
        )

    def collect(self, endpoint: str, since: datetime, home: Path) -> None:
        """Copy what was captured since then to `<home>/<endpoint>/<release>/`, as a prediction log for who ships it; changes nothing."""
        from deployments.sagemaker_logs import CaptureLogs  # the servers' code takes a while to load

        CaptureLogs(self.captures, self.states, self.place.captures, self.clock).copy(endpoint, since, home)

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Score a request, by the named cohort if one is given; changes nothing.

        SageMaker passes no header on that leads past the cache of the server, whose answers are the same.
        """
        return dict(self.asking.ask(endpoint, body, cohort)[0])

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the cohort's server says with an answer, what SageMaker told it, and the image that SageMaker runs; changes nothing."""
        now = self.changes.known(endpoint)
        fleet = next((one for one in self.states.fleets(now) if one.cohort == cohort), None)
        if fleet is None:
            raise NotFound(f"endpoint {endpoint} has no {cohort} that answers; deploy one first")
        said, variant = self.asking.ask(endpoint, QUESTION, cohort)
        configuration = fleet.revision.configuration.model_dump() if fleet.revision.configuration else {}
        serving = {**configuration, "cache_namespace": (said.get("model") or {}).get("bundle_digest")}
        return running_of({"model": said.get("model"), "serving": serving}, self.asking.image(now, variant))

    def delete(self, endpoint: str) -> None:
        """Stop everything of the endpoint and forget it; captures, and the models of the last releases, stay. Idempotent."""
        self.changes.forget(endpoint)
        now = self.states.now(endpoint)
        if now and now.moving and now.status != "Deleting":
            now = self.changes.stopped(endpoint, now, now.config.cast.champion)
        if now:
            self.changes.gone(endpoint)
        self.changes.leftovers(endpoint).remove(set())

    def _served(self, endpoint: str, now: Now | None) -> Layout:
        """What it serves; of one that is gone what it shall serve again."""
        if now:
            return self.states.layout(now)
        kept = self.states.kept(endpoint)
        return self.states.alone(kept) if kept else Layout()

    def _was_submitted(self, now: Now, release: str) -> bool:
        """Whether the endpoint's last update with our alarms was to this release."""
        try:
            return bool(now.submitted) and self.states.revision(self.states.config(str(now.submitted)).cast.champion).release == release
        except NotFound:
            return False

    def _why_back(self, now: Now) -> str:
        """SageMaker's reason, and the alarms that say more."""
        if now.submitted is None:
            return now.reason
        with answered("alarms"):
            found = self.clients.cloudwatch.describe_alarms(AlarmNames=alarm_names(now.submitted), StateValue="ALARM")["MetricAlarms"]
        told = [f"alarm {one['AlarmName']}: {one.get('StateReason', '')}".rstrip(": ") for one in found]
        return "; ".join(filter(None, [now.reason, *told]))

    def _observed(self, endpoint: str, fleet: Fleet, since: datetime, until: datetime) -> Observation:
        """Counts by captured answers; of failed calls the same part as of answers, latencies by all calls."""
        calls = self._calls(endpoint, fleet, since, until)
        found = measure(self.clients.cloudwatch, endpoint, fleet.config.name, fleet.variant, since, until)
        errors = round(found.errors * fleet.config.captured_percent / 100)
        seen = summarize(fleet.cohort, (until - since).total_seconds(), (dict(line) for call in calls for line in call.lines), errors)
        return seen.model_copy(update={"latency_ms": found.latency_ms})

    def _calls(self, endpoint: str, fleet: Fleet, since: datetime, until: datetime) -> list[Call]:
        return self.captures.calls(fleet.config.captures, endpoint, fleet.variant, since, until)

    def _failed(self, endpoint: str, fleet: Fleet, since: datetime, until: datetime) -> int:
        return measure(self.clients.cloudwatch, endpoint, fleet.config.name, fleet.variant, since, until).errors
