"""Endpoints on SageMaker in one region of AWS: it shifts traffic by itself, by the plan that the machine submits, and decides nothing here.

What is settled is SageMaker's own: an endpoint names its configuration, which names models, which are revisions (`sagemaker_objects`). A
change makes what it needs under names that are digests, then switches the endpoint with one call, then puts away what is left over. Doing
so again does nothing; a change that was killed anywhere is finished by repeating it. Decision 0030 says why.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from deployments import layout as layouts
from deployments.layout import Layout, ran_here
from deployments.observations import summarize
from deployments.sagemaker_archive import archive_address, put_archive
from deployments.sagemaker_bounds import deployment_faults, model_faults
from deployments.sagemaker_captures import ASKED_BY_US, Call, Captures, pairs
from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_leftovers import Leftovers
from deployments.sagemaker_metrics import measure
from deployments.sagemaker_objects import CHALLENGER, CHAMPION, STANDS_BY, Cast, Request, config_request, model_request, named, tags
from deployments.sagemaker_plan import OWN, STOP_METRIC, alarm_names, alarms, deployment_config, share_of, stop_alarm, stop_dimensions
from deployments.sagemaker_state import Fleet, Now, States
from deployments.target import Answers, Cohort, EndpointStatus, Mirrored, Observation, Plan, Progress, Revision, Running, Split
from headgate.errors import BadInput, NotFound, Refused, Stale, Unavailable
from headgate.model.signing import verify_digest
from headgate.release.verification import running_of
from headgate.settings import SageMakerRegion

KEPT = 20
LOOK_S = 5.0
QUESTION = {"instances": [{"text": "Which release answers here?"}]}
RETAIN: Request = {  # what autoscaling made of the number of instances stays
    "RetainAllVariantProperties": True,
    "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}, {"VariantPropertyType": "DataCaptureConfig"}],
}


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
    def captures(self) -> Captures:
        """What reads captured answers."""
        return Captures(self.clients.s3)

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """Let the revision stand by as a model without servers; an endpoint's first revision becomes its champion. Idempotent."""
        if self.public_key:
            verify_digest("bundle", revision.bundle_digest, revision.signature, self.public_key)
        model = self._model(endpoint, revision)
        now = self.states.now(endpoint)
        if now is None or now.status in ("Creating", "Deleting", "Failed"):
            return self._create(endpoint, Cast(champion=model), revision)
        layout = self.states.layout(now)
        if revision.release in layout.releases():
            return self.status(endpoint)
        self._require_still(now)
        if now.config.cast.shape != "single":
            now = self._switch(endpoint, Cast(champion=now.config.cast.champion, previous=now.config.cast.previous))
        self._mark(now, model)
        return self.status(endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        """What the endpoint serves now; changes nothing, and an unknown endpoint is one that is not ready."""
        if (now := self.states.now(endpoint)) is None:
            return EndpointStatus(endpoint=endpoint, detail="nothing is deployed here")
        url = f"https://runtime.sagemaker.{self.place.region}.amazonaws.com/endpoints/{endpoint}/invocations"
        serves = now.status in ("InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed")
        detail = "" if now.status == "InService" else f"{now.status}: {now.reason}".rstrip(": ")
        return EndpointStatus(endpoint=endpoint, url=url, ready=serves, detail=detail, **dict(self.states.layout(now)))

    def check(self, endpoint: str, plan: Plan) -> None:
        """Refused tells all that SageMaker cannot do of the plan in this region; changes nothing, and asks nobody."""
        config = config_request(endpoint, Cast(champion=named(endpoint, {})), self.place, keep_texts=True)
        name = config["EndpointConfigName"]
        deployment = deployment_config(plan, self.place, name)
        requests = [("CreateEndpointConfig", config), ("UpdateEndpoint", self._update_request(endpoint, name, deployment))]
        found = self._faults(requests) + deployment_faults(deployment, self.place.instance_count)
        metrics = self.clients.cloudwatch.meta.service_model.operation_model("PutMetricAlarm")
        found += [fault for one in alarms(endpoint, name, plan, self.place.max_p99_ms) for fault in model_faults(metrics, one)]
        _require_none(endpoint, found)

    def submit(self, endpoint: str, plan: Plan) -> EndpointStatus:
        """Let SageMaker shift all traffic to the challenger by the plan, and return at once. Idempotent."""
        self.check(endpoint, plan)
        now = self._known(endpoint)
        layout = self.states.layout(now)
        if layout.champion and layout.champion.release == plan.release:
            return self.status(endpoint)
        if layout.challenger is None or layout.challenger.release != plan.release:
            found = layout.challenger.release if layout.challenger else "none"
            raise Stale(f"endpoint {endpoint}: expected {plan.release} as the challenger, found {found}; deploy it again")
        if now.pending and now.pending.cast.champion != now.config.cast.champion:
            return self.status(endpoint)  # under way already
        self._require_still(now)
        cast, model = now.config.cast, now.config.cast.challenger or now.marks[STANDS_BY]
        if cast.shape != "single":  # SageMaker shifts between fleets of the same variants
            self._mark(now, model)
            now = self._switch(endpoint, Cast(champion=cast.champion, previous=cast.previous))
        config = self._config(endpoint, Cast(champion=model, previous=now.config.name), layout.challenger)
        for alarm in alarms(endpoint, config, plan, self.place.max_p99_ms):
            with answered(f"alarm {alarm['AlarmName']}"):
                self.clients.cloudwatch.put_metric_alarm(**alarm)
        self._set_stop(config, "OK", "the update begins")
        self._update(endpoint, config, deployment_config(plan, self.place, config))
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
        now = self._settled(endpoint)
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
            now = self._switch(endpoint, wanted)
        if shape == "side_by_side" and self.states.layout(now).split != split:
            self._weigh(endpoint, split)
        return self.status(endpoint)

    def promote(self, endpoint: str, release: str) -> EndpointStatus:
        """Make the challenger with this release the champion, with all traffic, and keep the old one as previous. Idempotent."""
        now = self._settled(endpoint)
        wanted = layouts.promote(endpoint, release)(self.states.layout(now))
        cast = now.config.cast
        if self.states.revision(cast.champion).release != release or cast.shape != "single":
            assert wanted.champion
            model = self._model_of(endpoint, now, wanted.champion)
            now = self._switch(endpoint, Cast(champion=model, previous=now.config.name if model != cast.champion else cast.previous))
        self._put_away(endpoint, now)
        return self.status(endpoint)

    def rollback(self, endpoint: str, to: Revision | None = None) -> EndpointStatus:
        """Drop the challenger and give the champion all traffic; a revision becomes champion again instead. Idempotent.

        An update under way is stopped first. An endpoint that failed is made anew; so is one that is gone, where a revision is named.
        """
        now = self.states.now(endpoint)
        if now is None and to is None:
            self._known(endpoint)
        before = self.states.layout(now) if now else Layout()
        if to and self.public_key and not ran_here(before, to.bundle_digest):
            verify_digest("bundle", to.bundle_digest, to.signature, self.public_key)
        goal = to or before.champion
        assert goal
        model = self._model_of(endpoint, now, goal)
        if now is None:
            return self._create(endpoint, Cast(champion=model), goal)
        if now.moving:
            now = self._stopped(endpoint, now, model)
        cast = now.config.cast
        same = cast.champion == model
        wanted = Cast(champion=model, previous=cast.previous if same else now.config.name)
        if now.broken:
            now = self._repaired(endpoint, now, wanted, goal)
        elif wanted != cast:
            now = self._switch(endpoint, wanted)
        self._put_away(endpoint, now)
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
        now = self._known(endpoint)
        until = self.clock()
        since = until - timedelta(seconds=window_s)
        return tuple(self._observed(endpoint, fleet, since, until) for fleet in self.states.fleets(now))

    def answers(self, endpoint: str, since: datetime, until: datetime) -> Answers:
        """All captured answers of champion and challenger from since to until; changes nothing."""
        lines: list[Mapping[str, Any]] = []
        failed = {}
        for fleet in self.states.fleets(self._known(endpoint)):
            if fleet.cohort != "previous":
                calls = self._calls(endpoint, fleet, since, until)
                lines += [{**line, "cohort": fleet.cohort} for call in calls for line in call.lines]
                failed[fleet.cohort] = self._failed(endpoint, fleet, since, until)
        return Answers(lines, failed, {})

    def mirrored(self, endpoint: str, window_s: float) -> Mirrored:
        """What champion and challenger answered to the same mirrored requests in the last window_s seconds; changes nothing."""
        now, until = self._known(endpoint), self.clock()
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

    def invoke(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None = None) -> dict[str, Any]:
        """Score a request, by the named cohort if one is given; changes nothing.

        SageMaker passes no header on that leads past the cache of the server, whose answers are the same.
        """
        return dict(self._ask(endpoint, body, cohort)[0])

    def running(self, endpoint: str, cohort: Cohort) -> Running:
        """What the cohort's server says with an answer, what SageMaker told it, and the image that SageMaker runs; changes nothing."""
        now = self._known(endpoint)
        fleet = next((one for one in self.states.fleets(now) if one.cohort == cohort), None)
        if fleet is None:
            raise NotFound(f"endpoint {endpoint} has no {cohort} that answers; deploy one first")
        said, variant = self._ask(endpoint, QUESTION, cohort)
        configuration = fleet.revision.configuration.model_dump() if fleet.revision.configuration else {}
        serving = {**configuration, "cache_namespace": (said.get("model") or {}).get("bundle_digest")}
        return running_of({"model": said.get("model"), "serving": serving}, self._image(now, variant))

    def delete(self, endpoint: str) -> None:
        """Stop everything of the endpoint and forget it; captures, and the models of the last releases, stay. Idempotent."""
        now = self.states.now(endpoint)
        if now and now.moving and now.status != "Deleting":
            now = self._stopped(endpoint, now, now.config.cast.champion)
        if now:
            self._gone(endpoint)
        self._leftovers(endpoint).remove(set())

    # What changes are made of

    def _model(self, endpoint: str, revision: Revision) -> str:
        """The model of a revision, made unless it is there; everything of the place is checked before."""
        if not endpoint.startswith(f"{revision.model}-"):
            raise BadInput(f"expected an endpoint named {revision.model}-ENVIRONMENT for model {revision.model}, found {endpoint}")
        archive = archive_address(self.place.models, revision) if self.place.models else None
        request = model_request(endpoint, revision, self.place, archive)
        config = config_request(endpoint, Cast(champion=request["ModelName"]), self.place, keep_texts=True)
        created = {"EndpointName": endpoint, "EndpointConfigName": config["EndpointConfigName"], "Tags": tags(endpoint)}
        _require_none(endpoint, self._faults([("CreateModel", request), ("CreateEndpointConfig", config), ("CreateEndpoint", created)]))
        if self.states.known(name := request["ModelName"]) is None:
            if archive:
                put_archive(self.clients.s3, archive, revision)
            self._made("create_model", f"model {name}", request)
        return str(name)

    def _model_of(self, endpoint: str, now: Now | None, revision: Revision) -> str:
        """The model by which the endpoint knows a revision already, else a new one."""
        previous = self.states.before(now) if now else None
        known = [now.config.cast.champion, now.config.cast.challenger, now.marks.get(STANDS_BY)] if now else []
        for model in [*known, previous.cast.champion if previous else None]:
            if model and (found := self.states.known(model)) and found.release == revision.release:
                return model
        return self._model(endpoint, revision)

    def _config(self, endpoint: str, cast: Cast, revision: Revision) -> str:
        keep_texts = bool(revision.configuration and revision.configuration.log_text == "full")
        request = config_request(endpoint, cast, self.place, keep_texts)
        self._made("create_endpoint_config", f"endpoint configuration {request['EndpointConfigName']}", request)
        return str(request["EndpointConfigName"])

    def _made(self, operation: str, what: str, request: Request) -> None:
        """Make a thing whose name is a digest of its content, so that one of this name is the same."""
        try:
            with answered(what):
                getattr(self.clients.sagemaker, operation)(**request)
        except Refused as fault:
            if "already exist" not in str(fault):
                raise

    def _create(self, endpoint: str, cast: Cast, revision: Revision) -> EndpointStatus:
        """The endpoint's first revision; one that failed, or is going, is taken away first."""
        now = self._settled_or_gone(endpoint)
        if now and now.status == "Failed":
            self._gone(endpoint)
            now = None
        if now is None:
            config = self._config(endpoint, cast, revision)
            request = {"EndpointName": endpoint, "EndpointConfigName": config, "Tags": tags(endpoint)}
            self._made("create_endpoint", f"endpoint {endpoint}", request)
            now = self._settled(endpoint)
        if now.broken:
            self._gone(endpoint)
            raise Refused(
                f"release {revision.release[:12]} did not come into service at endpoint {endpoint}: {now.reason or now.status}; it is "
                f"removed, nothing else was changed. Its log is /aws/sagemaker/Endpoints/{endpoint} in CloudWatch"
            )
        if self.states.revision(now.config.cast.champion).release != revision.release:
            raise Stale(f"endpoint {endpoint}: it was made meanwhile, with another release; look again")
        return self.status(endpoint)

    def _switch(self, endpoint: str, cast: Cast) -> Now:
        """Update to a configuration all at once, and wait; Refused where it did not come into service, and SageMaker went back."""
        config = self._config(endpoint, cast, self.states.revision(cast.champion))
        self._update(endpoint, config, None)
        now = self._settled(endpoint)
        if now.config.name != config:
            raise Refused(
                f"endpoint {endpoint}: the update to configuration {config} did not come into service, and SageMaker went back: "
                f"{now.reason or now.status}; see /aws/sagemaker/Endpoints/{endpoint} in CloudWatch"
            )
        return now

    def _update(self, endpoint: str, config: str, deployment: Request | None) -> None:
        """Once; an update that is under way to the same configuration is this one."""
        now = self._known(endpoint)
        if now.config.name == config and not (now.moving or now.broken):
            return
        if now.pending and now.pending.name == config:
            return
        same = self.states.config(config).cast.shape == now.config.cast.shape == "single"
        request = self._update_request(endpoint, config, deployment, RETAIN if same else {})
        try:
            with answered(f"endpoint {endpoint}"):
                self.clients.sagemaker.update_endpoint(**request)
        except Refused as fault:
            after = self.states.now(endpoint)
            if after and config in (after.config.name, after.pending.name if after.pending else None):
                return  # the answer to our own call was lost
            if "in-progress" in str(fault):
                raise Unavailable(f"{fault}; somebody else updates it: try again once that is done") from fault
            raise

    def _update_request(self, endpoint: str, config: str, deployment: Request | None, more: Request = RETAIN) -> Request:
        guarded = {"DeploymentConfig": deployment} if deployment else {}
        return {"EndpointName": endpoint, "EndpointConfigName": config, **more, **guarded}

    def _weigh(self, endpoint: str, split: Split) -> None:
        weights = {CHAMPION: split.champion / 100, CHALLENGER: split.challenger / 100}
        wanted = [{"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()]
        with answered(f"weights of endpoint {endpoint}"):
            self.clients.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=wanted)
        self._settled(endpoint)

    def _stopped(self, endpoint: str, now: Now, wanted: str) -> Now:
        """An update to another champion than the wanted model goes back by the alarm that stands for our word; any other is waited for."""
        comes = now.pending
        if comes and comes.cast.champion != wanted and now.submitted == comes.name and now.status != "RollingBack":
            self._put_metric(endpoint, comes.name)
            self._set_stop(comes.name, "ALARM", "the rollout's machine takes the release back")
        return self._settled(endpoint)

    def _repaired(self, endpoint: str, now: Now, cast: Cast, goal: Revision) -> Now:
        """A failed endpoint serves again: updated where SageMaker still takes that, else made anew, which takes some minutes."""
        if now.status == "UpdateRollbackFailed":
            try:
                return self._switch(endpoint, cast)
            except Refused:
                pass
        self._gone(endpoint)
        self._create(endpoint, cast, goal)
        return self._known(endpoint)

    def _gone(self, endpoint: str) -> None:
        """Delete the endpoint, and wait until it is gone."""
        now = self.states.now(endpoint)
        if now and now.status != "Deleting":
            with answered(f"endpoint {endpoint}"):
                self.clients.sagemaker.delete_endpoint(EndpointName=endpoint)
        if self._settled_or_gone(endpoint) is not None:
            raise Unavailable(f"endpoint {endpoint} was deleted, but is there again; try again")

    def _put_away(self, endpoint: str, now: Now) -> None:
        """What a change left: the mark of who stood by, its alarms, models and configurations of old releases."""
        if STANDS_BY in now.marks:
            with answered(f"tags of endpoint {endpoint}"):
                self.clients.sagemaker.delete_tags(ResourceArn=now.described["EndpointArn"], TagKeys=[STANDS_BY])
        self._leftovers(endpoint).remove({now.config.name})

    def _leftovers(self, endpoint: str) -> Leftovers:
        return Leftovers(self.clients, self.states, endpoint, self.keep)

    def _mark(self, now: Now, model: str) -> None:
        with answered(f"tags of endpoint {now.described['EndpointName']}"):
            self.clients.sagemaker.add_tags(ResourceArn=now.described["EndpointArn"], Tags=[{"Key": STANDS_BY, "Value": model}])

    def _set_stop(self, config: str, state: str, reason: str) -> None:
        with answered(f"alarm {stop_alarm(config)}"):
            self.clients.cloudwatch.set_alarm_state(AlarmName=stop_alarm(config), StateValue=state, StateReason=reason)

    def _put_metric(self, endpoint: str, config: str) -> None:
        """So that the alarm's next evaluation says the same as we."""
        datum = {"MetricName": STOP_METRIC, "Dimensions": stop_dimensions(endpoint, config), "Value": 1.0}
        with answered(f"metric {OWN}/{STOP_METRIC}"):
            self.clients.cloudwatch.put_metric_data(Namespace=OWN, MetricData=[datum])

    # What is asked

    def _known(self, endpoint: str) -> Now:
        if (now := self.states.now(endpoint)) is None:
            raise NotFound(f"no endpoint {endpoint} in {self.place.region}; a release makes one")
        return now

    def _settled(self, endpoint: str) -> Now:
        if (now := self._settled_or_gone(endpoint)) is None:
            self._known(endpoint)
            raise Unavailable(f"endpoint {endpoint} is gone meanwhile; look again")
        return now

    def _settled_or_gone(self, endpoint: str) -> Now | None:
        """Once SageMaker changes nothing any more; Unavailable after ready_s."""
        waited = 0.0
        while (now := self.states.now(endpoint)) and now.moving:
            if waited > self.place.ready_s:
                raise Unavailable(f"endpoint {endpoint} was {now.status} for {self.place.ready_s:g} s; repeat it once SageMaker is done")
            self.sleep(LOOK_S)
            waited += LOOK_S
        return now

    def _require_still(self, now: Now) -> None:
        told = f"endpoint {now.described['EndpointName']} is {now.status}"
        if now.broken:
            raise Refused(f"{told}: {now.reason or 'SageMaker does not say why'}; `headgate rollback` repairs it")
        if now.moving:
            raise Unavailable(f"{told}: another update is under way; try again once it is InService")

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

    def _ask(self, endpoint: str, body: dict[str, Any], cohort: Cohort | None) -> tuple[Mapping[str, Any], str]:
        """The answer, and the variant that gave it."""
        named_one = {"TargetVariant": self._variant(endpoint, cohort)} if cohort else {}
        name = f"{ASKED_BY_US if cohort else ''}{uuid4()}"
        with answered(f"endpoint {endpoint}"):
            try:
                said = self.clients.runtime.invoke_endpoint(
                    EndpointName=endpoint,
                    Body=json.dumps(body).encode(),
                    ContentType="application/json",
                    Accept="application/json",
                    InferenceId=name,
                    **named_one,
                )
            except self.clients.runtime.exceptions.ModelError as fault:
                raise _said_no(endpoint, fault.response) from fault
            return json.loads(said["Body"].read()), said.get("InvokedProductionVariant", CHAMPION)

    def _variant(self, endpoint: str, cohort: Cohort) -> str:
        """The variant by which SageMaker reaches a cohort alone."""
        now = self._known(endpoint)
        if cohort == "champion" and now.pending is None:
            return CHAMPION
        if cohort == "challenger" and now.config.cast.shape == "side_by_side":
            return CHALLENGER
        why = "both fleets have the same variant while SageMaker shifts" if now.pending else "it is no variant beside the champion"
        raise NotFound(f"endpoint {endpoint}: the {cohort} cannot be asked by name: {why}")

    def _image(self, now: Now, variant: str) -> str | None:
        """The digest of the image that SageMaker resolved for a variant."""
        variants: list[dict[str, Any]] = now.described.get("ProductionVariants") or []
        found = next((one for one in variants if one["VariantName"] == variant), dict[str, Any]())
        images = [str(one.get("ResolvedImage", "")) for one in found.get("DeployedImages") or []]
        return next((image.partition("@")[2] for image in images if "@" in image), None)

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

    def _faults(self, requests: list[tuple[str, Request]]) -> list[str]:
        model = self.clients.sagemaker.meta.service_model
        return [fault for operation, request in requests for fault in model_faults(model.operation_model(operation), request)]


def _require_none(endpoint: str, faults: list[str]) -> None:
    """Refused with all faults at once, each only once."""
    if found := list(dict.fromkeys(faults)):
        told = "".join(f"\n  {fault}" for fault in found)
        raise Refused(f"endpoint {endpoint}: SageMaker would refuse {len(found)} thing(s), nothing was sent:{told}")


def _said_no(endpoint: str, response: Mapping[str, Any]) -> BadInput | Unavailable:
    """What the container answered in place of 200."""
    status, said = int(response.get("OriginalStatusCode") or 500), str(response.get("OriginalMessage") or "")
    told = f"endpoint {endpoint} answered {status}: {said[:2000] or response.get('Error', {}).get('Message', '')}"
    return BadInput(told) if 400 <= status < 500 else Unavailable(told)
