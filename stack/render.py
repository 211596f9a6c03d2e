"""`headgate render`: the Kubernetes objects of a release, to be read, committed and applied by whoever likes to."""

from collections.abc import Sequence
from typing import NamedTuple

import yaml
from pydantic import TypeAdapter, ValidationError

from deployments.manifests.argo import argo_objects
from deployments.manifests.pods import objects
from deployments.manifests.rbac import rbac
from deployments.manifests.traffic import Gateway, http_route
from deployments.manifests.workload import Apis, DnsLabel, Manifest, Resources, Workload, measured, replicas_for
from headgate.errors import BadInput, NotFound
from headgate.release.configuration import configuration_of
from headgate.release.record import Release, load_release
from headgate.settings import Stage, load_settings
from tasks.clusters import load_report
from tasks.places import the_lake


class Dumper(yaml.SafeDumper):
    """Quotes what other readers of YAML take for a number or a yes: `0589684422`, `13778952e6`, `n`."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    doubtful = not value[:1].isalpha() or value.lower() in ("y", "n")
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if doubtful else None)


Dumper.add_representer(str, _text)


class Place(NamedTuple):
    """Where a release is to run, as it was typed in."""

    image: str
    environment: str
    namespace: str
    gateway: str
    hostnames: Sequence[str]
    callers: Sequence[str]
    rate_per_s: float


def render_kubernetes(release_id: str, place: Place, apis: Apis) -> str:
    """YAML of a release's own objects and of the route that gives it all requests."""
    workload = _workload(release_id, place)
    return as_yaml([*objects(workload, apis), http_route(_gateway(place), workload)], workload)


def render_argo(release_id: str, place: Place, prometheus: str) -> str:
    """YAML of the same for Argo Rollouts, by the policy of the stage with this environment."""
    workload = _workload(release_id, place)
    return as_yaml(argo_objects(workload, _stage(workload), _gateway(place), prometheus), workload)


def render_rbac(namespace: str, account: str, account_namespace: str | None) -> str:
    """YAML of what the flows may do in a namespace."""
    names = (namespace, account, account_namespace or namespace)
    try:
        TypeAdapter(tuple[DnsLabel, DnsLabel, DnsLabel]).validate_python(names)
    except ValidationError as fault:
        raise _told(fault, ("namespace", "account", "account namespace")) from None
    return as_yaml(rbac(*names))


def as_yaml(found: Sequence[Manifest], workload: Workload | None = None) -> str:
    """One document an object, with where it came from first."""
    about = f"# release {workload.release}\n# bundle sha256:{workload.bundle_digest}\n" if workload else ""
    documents: str = yaml.dump_all(found, Dumper=Dumper, sort_keys=False, explicit_start=True, width=1_000)
    return about + documents


def _workload(release_id: str, place: Place) -> Workload:
    lake = the_lake()
    release = load_release(lake, release_id)
    load = load_report(lake, release.id)
    configuration = release.configuration or configuration_of(load_settings().model(release.model))
    resources = measured(load, configuration.workers)
    if place.rate_per_s and not (load and load.saturation_per_s.get("candidate")):
        raise BadInput(
            f"release {release.id[:12]}: expected a load test that reached a saturation, to plan pods for {place.rate_per_s:g} requests "
            "a second; found none; leave --rate-per-s out, or set load_test.stairs_max_steps and retest"
        )
    try:
        return Workload(
            model=release.model,
            environment=place.environment,
            namespace=place.namespace,
            release=release.id,
            bundle_digest=release.bundle_digest,
            commit=release.commit,
            image=_image(release, place.image),
            configuration=configuration,
            replicas=replicas_for(place.rate_per_s, load),
            resources=Resources(**resources.model_dump()),
            callers=tuple(place.callers),
        )
    except ValidationError as fault:
        raise _told(fault) from None


def _image(release: Release, image: str) -> str:
    """The image that was typed in; BadInput where the release names another one."""
    wanted = release.image_digest
    if wanted and not image.endswith(f"@{wanted}"):
        raise BadInput(f"release {release.id[:12]}: expected the image with digest {wanted}, found {image}")
    return image


def _stage(workload: Workload) -> Stage:
    stages = load_settings().model(workload.model).rollout.stages
    found = next((stage for stage in stages if stage.environment == workload.environment), None)
    if found is None:
        known = ", ".join(stage.environment for stage in stages)
        raise NotFound(f"model {workload.model}: expected one of the stages {known}, found {workload.environment!r}")
    return found


def _gateway(place: Place) -> Gateway:
    namespace, _, name = place.gateway.partition("/") if "/" in place.gateway else ("", "", place.gateway)
    try:
        return Gateway(name=name, namespace=namespace or place.namespace, hostnames=tuple(place.hostnames))
    except ValidationError as fault:
        raise _told(fault) from None


def _told(fault: ValidationError, names: Sequence[str] = ()) -> BadInput:
    """Every fault at once, in one line each; names: of the places of a tuple."""
    told = [(names[int(one["loc"][0])] if names else ".".join(map(str, one["loc"])) or "release", one) for one in fault.errors()]
    lines = [f"{where}: {one['msg']} (found {str(one['input'])[:100]!r})" for where, one in told]
    return BadInput("\n".join(["these objects cannot be made:", *lines]))
