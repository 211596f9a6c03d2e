"""What changes of a SageMaker endpoint are made of: things named by digests, one switch, and waiting until SageMaker is done."""

from collections.abc import Callable
from dataclasses import dataclass

from deployments.sagemaker_archive import archive_address, put_archive
from deployments.sagemaker_bounds import model_faults
from deployments.sagemaker_clients import Clients, answered
from deployments.sagemaker_leftovers import Leftovers
from deployments.sagemaker_objects import CHALLENGER, CHAMPION, STANDS_BY, Cast, Request, config_request, kept_name, model_request, tags
from deployments.sagemaker_plan import OWN, STOP_METRIC, stop_alarm, stop_dimensions
from deployments.sagemaker_state import Now, States
from deployments.target import Revision, Split
from headgate.errors import BadInput, NotFound, Refused, Stale, Unavailable
from headgate.settings import SageMakerRegion

LOOK_S = 5.0
RETAIN: Request = {  # what autoscaling made of the number of instances stays
    "RetainAllVariantProperties": True,
    "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}, {"VariantPropertyType": "DataCaptureConfig"}],
}


@dataclass(frozen=True)
class Changes:
    """Changes the endpoints of one region; each step can be repeated."""

    place: SageMakerRegion
    clients: Clients
    states: States
    keep: int
    sleep: Callable[[float], object]

    def model(self, endpoint: str, revision: Revision) -> str:
        """The model of a revision, made unless it is there; everything of the place is checked before."""
        if not endpoint.startswith(f"{revision.model}-"):
            raise BadInput(f"expected an endpoint named {revision.model}-ENVIRONMENT for model {revision.model}, found {endpoint}")
        archive = archive_address(self.place.models, revision) if self.place.models else None
        request = model_request(endpoint, revision, self.place, archive)
        config = config_request(endpoint, Cast(champion=request["ModelName"]), self.place, keep_texts=True)
        created = {"EndpointName": endpoint, "EndpointConfigName": config["EndpointConfigName"], "Tags": tags(endpoint)}
        require_none(endpoint, self.faults([("CreateModel", request), ("CreateEndpointConfig", config), ("CreateEndpoint", created)]))
        if self.states.known(name := request["ModelName"]) is None:
            if archive:
                put_archive(self.clients.s3, archive, revision)
            self.made("create_model", f"model {name}", request)
        return str(name)

    def model_of(self, endpoint: str, now: Now | None, revision: Revision) -> str:
        """The model by which the endpoint knows a revision already, else a new one."""
        previous = self.states.before(now.config) if now else None
        known = [now.config.cast.champion, now.config.cast.challenger, now.marks.get(STANDS_BY)] if now else []
        for model in [*known, previous.cast.champion if previous else None]:
            if model and (found := self.states.known(model)) and found.release == revision.release:
                return model
        return self.model(endpoint, revision)

    def config(self, endpoint: str, cast: Cast, revision: Revision, **named: str) -> str:
        """The configuration of a cast, made unless it is there; texts are captured where the revision keeps them.

        Of two variants that share the requests both must: SageMaker captures the same of both.
        """
        beside = cast.challenger if cast.shape == "side_by_side" else None
        answering = [revision, *([self.states.revision(beside)] if beside else [])]
        keep_texts = all(one.configuration and one.configuration.log_text == "full" for one in answering)
        request = {**config_request(endpoint, cast, self.place, keep_texts), **named}
        self.made("create_endpoint_config", f"endpoint configuration {request['EndpointConfigName']}", request)
        return str(request["EndpointConfigName"])

    def made(self, operation: str, what: str, request: Request) -> None:
        """Make a thing whose name is a digest of its content, so that one of this name is the same."""
        try:
            with answered(what):
                getattr(self.clients.sagemaker, operation)(**request)
        except Refused as fault:
            if "already exist" not in str(fault):
                raise

    def create(self, endpoint: str, cast: Cast, revision: Revision) -> Now:
        """The endpoint's first revision; one that failed, or is going, is taken away first."""
        now = self.settled_or_gone(endpoint)
        if now and now.status == "Failed":
            self.gone(endpoint)
            now = None
        if now is None:
            config = self.config(endpoint, cast, revision)
            request = {"EndpointName": endpoint, "EndpointConfigName": config, "Tags": tags(endpoint)}
            self.made("create_endpoint", f"endpoint {endpoint}", request)
            now = self.settled(endpoint)
        if now.broken:
            self.gone(endpoint)
            raise Refused(
                f"release {revision.release} did not become ready at endpoint {endpoint}: {now.reason or now.status}; it is removed, "
                f"nothing else was changed. Its log is /aws/sagemaker/Endpoints/{endpoint} in CloudWatch"
            )
        if self.states.revision(now.config.cast.champion).release != revision.release:
            raise Stale(f"endpoint {endpoint}: it was made meanwhile, with another release; look again")
        return now

    def switch(self, endpoint: str, cast: Cast) -> Now:
        """Update to a configuration all at once, and wait; Refused where it did not become ready, and SageMaker went back."""
        config = self.config(endpoint, cast, self.states.revision(cast.champion))
        self.update(endpoint, config, None)
        now = self.settled(endpoint)
        if now.config.name != config:
            release = self.states.revision(cast.challenger or cast.champion).release
            raise Refused(
                f"release {release} did not become ready at endpoint {endpoint}: {now.reason or now.status}; SageMaker went back to "
                f"configuration {now.config.name}. Its log is /aws/sagemaker/Endpoints/{endpoint} in CloudWatch"
            )
        return now

    def update(self, endpoint: str, config: str, deployment: Request | None) -> None:
        """Once; an update that is under way to the same configuration is this one."""
        now = self.known(endpoint)
        if now.config.name == config and not (now.moving or now.broken):
            return
        if now.pending and now.pending.name == config:
            return
        same = self.states.config(config).cast.shape == now.config.cast.shape == "single"
        request = self.update_request(endpoint, config, deployment, RETAIN if same else {})
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

    def update_request(self, endpoint: str, config: str, deployment: Request | None, more: Request = RETAIN) -> Request:
        """UpdateEndpoint, guarded by a deployment configuration if there is one."""
        guarded = {"DeploymentConfig": deployment} if deployment else {}
        return {"EndpointName": endpoint, "EndpointConfigName": config, **more, **guarded}

    def weigh(self, endpoint: str, split: Split) -> None:
        """Share the requests out between two variants, and wait."""
        weights = {CHAMPION: split.champion / 100, CHALLENGER: split.challenger / 100}
        wanted = [{"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()]
        with answered(f"weights of endpoint {endpoint}"):
            self.clients.sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=wanted)
        self.settled(endpoint)

    def stopped(self, endpoint: str, now: Now, wanted: str) -> Now:
        """An update to another champion than the wanted model goes back by the alarm that stands for our word; any other is waited for."""
        comes = now.pending
        if comes and comes.cast.champion != wanted and now.submitted == comes.name and now.status != "RollingBack":
            self.put_metric(endpoint, comes.name)
            self.set_stop(comes.name, "ALARM", "the rollout's machine takes the release back")
        return self.settled(endpoint)

    def gone(self, endpoint: str) -> None:
        """Delete the endpoint, and wait until it is gone."""
        now = self.states.now(endpoint)
        if now and now.status != "Deleting":
            with answered(f"endpoint {endpoint}"):
                self.clients.sagemaker.delete_endpoint(EndpointName=endpoint)
        if self.settled_or_gone(endpoint) is not None:
            raise Unavailable(f"endpoint {endpoint} was deleted, but is there again; try again")

    def forget(self, endpoint: str) -> None:
        """What was kept so that the endpoint can be made again (`sagemaker_repair`) is not needed any more."""
        try:
            with answered(f"endpoint configuration {kept_name(endpoint)}"):
                self.clients.sagemaker.delete_endpoint_config(EndpointConfigName=kept_name(endpoint))
        except NotFound:
            pass

    def put_away(self, endpoint: str, now: Now) -> None:
        """What a change left: the mark of who stood by, its alarms, models and configurations of old releases."""
        self.forget(endpoint)
        if STANDS_BY in now.marks:
            with answered(f"tags of endpoint {endpoint}"):
                self.clients.sagemaker.delete_tags(ResourceArn=now.described["EndpointArn"], TagKeys=[STANDS_BY])
        self.leftovers(endpoint).remove({now.config.name})

    def leftovers(self, endpoint: str) -> Leftovers:
        """What removes old things of an endpoint."""
        return Leftovers(self.clients, self.states, endpoint, self.keep)

    def mark(self, now: Now, model: str) -> None:
        """Let a model stand by."""
        with answered(f"tags of endpoint {now.described['EndpointName']}"):
            self.clients.sagemaker.add_tags(ResourceArn=now.described["EndpointArn"], Tags=[{"Key": STANDS_BY, "Value": model}])

    def set_stop(self, config: str, state: str, reason: str) -> None:
        """Set the alarm that stands for our word."""
        with answered(f"alarm {stop_alarm(config)}"):
            self.clients.cloudwatch.set_alarm_state(AlarmName=stop_alarm(config), StateValue=state, StateReason=reason)

    def put_metric(self, endpoint: str, config: str) -> None:
        """So that the alarm's next evaluation says the same as we."""
        datum = {"MetricName": STOP_METRIC, "Dimensions": stop_dimensions(endpoint, config), "Value": 1.0}
        with answered(f"metric {OWN}/{STOP_METRIC}"):
            self.clients.cloudwatch.put_metric_data(Namespace=OWN, MetricData=[datum])

    def known(self, endpoint: str) -> Now:
        """The endpoint; NotFound if there is none."""
        if (now := self.states.now(endpoint)) is None:
            raise NotFound(f"no endpoint {endpoint} in {self.place.region}; a release makes one")
        return now

    def present(self, endpoint: str) -> Now | None:
        """The endpoint, or None; one that is being deleted is waited for."""
        now = self.states.now(endpoint)
        return self.settled_or_gone(endpoint) if now and now.status == "Deleting" else now

    def settled(self, endpoint: str) -> Now:
        """The endpoint, once SageMaker changes nothing any more; NotFound if there is none, Unavailable after ready_s."""
        if (now := self.settled_or_gone(endpoint)) is None:
            self.known(endpoint)
            raise Unavailable(f"endpoint {endpoint} is gone meanwhile; look again")
        return now

    def settled_or_gone(self, endpoint: str) -> Now | None:
        """Once SageMaker changes nothing any more; Unavailable after ready_s."""
        waited = 0.0
        while (now := self.states.now(endpoint)) and now.moving:
            if waited > self.place.ready_s:
                raise Unavailable(f"endpoint {endpoint} was {now.status} for {self.place.ready_s:g} s; repeat it once SageMaker is done")
            self.sleep(LOOK_S)
            waited += LOOK_S
        return now

    def require_still(self, now: Now) -> None:
        """Unavailable while SageMaker changes something, Refused where the endpoint is broken."""
        told = f"endpoint {now.described['EndpointName']} is {now.status}"
        if now.broken:
            raise Refused(f"{told}: {now.reason or 'SageMaker does not say why'}; `headgate rollback` repairs it")
        if now.moving:
            raise Unavailable(f"{told}: another update is under way; try again once it is InService")

    def faults(self, requests: list[tuple[str, Request]]) -> list[str]:
        """All that the service model finds wrong with requests, by operation."""
        model = self.clients.sagemaker.meta.service_model
        return [fault for operation, request in requests for fault in model_faults(model.operation_model(operation), request)]


def require_none(endpoint: str, faults: list[str]) -> None:
    """Refused with all faults at once, each only once."""
    if found := list(dict.fromkeys(faults)):
        told = "".join(f"\n  {fault}" for fault in found)
        raise Refused(f"endpoint {endpoint}: SageMaker would refuse {len(found)} thing(s), nothing was sent:{told}")
