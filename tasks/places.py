"""Where things are for the flows of this installation: lake, work folders, targets, links."""

from pathlib import Path

from deployments.local import LocalTarget
from deployments.target import Revision, Target
from headgate.errors import NotFound, Refused
from headgate.lake import Lake, open_lake
from headgate.model.bundle import signature_beside
from headgate.release.record import load_release
from headgate.settings import LOCAL, ModelSettings, Settings, load_settings


def the_lake(settings: Settings | None = None) -> Lake:
    """The lake that the settings name."""
    return open_lake((settings or load_settings()).lake)


def workplace(key: str) -> Path:
    """Folder of a candidate's files on this machine, absolute."""
    return load_settings().home.absolute() / "candidates" / key


def target_named(name: str) -> Target:
    """The place that hosts a stage's endpoint: this machine, or the table of headgate.toml with this name."""
    settings = load_settings()
    if name == LOCAL:
        return local_target()
    if namespace := settings.kubernetes.get(name):
        from tasks.clusters import cluster_target  # its client takes a while to load

        return cluster_target(namespace)
    if region := settings.sagemaker.get(name):
        from tasks.regions import region_target  # and so does AWS's

        return region_target(region)
    known = ", ".join((LOCAL, *sorted({**settings.kubernetes, **settings.sagemaker})))
    raise Refused(f"expected a target of {known}, found {name!r}")


def in_regions(model: ModelSettings) -> bool:
    """Whether some stage of a model is in a region of SageMaker: only then AWS's client is loaded."""
    return any(stage.target in load_settings().sagemaker for stage in model.rollout.stages)


def local_target() -> LocalTarget:
    """The endpoints on this machine; staging is always here."""
    settings = load_settings()
    kept = {model: table.feedback.log_text for model, table in settings.models.items() if table.feedback.log_text != "hash"}
    home, first_port, key = settings.home.absolute(), settings.stack.endpoint_port, settings.signing.public_key
    return LocalTarget(home, first_port=first_port, public_key=key, log_text=kept)


def endpoint_name(model: str, environment: str) -> str:
    """Name of a model's endpoint in an environment."""
    return f"{model}-{environment}"


def revision_of(release_id: str) -> Revision:
    """What a target needs to run a release; NotFound if its bundle is not on this machine and not in MLflow."""
    release = load_release(the_lake(), release_id)
    folder = bundle_folder(release.model, release.registered_version, release.bundle_digest)
    return Revision(
        release=release.id,
        bundle_digest=release.bundle_digest,
        bundle=folder,
        signature=release.bundle_signature or signature_beside(folder),
        model=release.model,
        configuration=release.configuration,
        image_digest=release.image_digest,
    )


def bundle_folder(model: str, registered_version: str, digest: str) -> Path:
    """The bundle's folder on this machine, fetched from MLflow if it is not here."""
    kept = load_settings().home.absolute() / "bundles" / digest
    if kept.is_dir():
        return kept
    from headgate.release.registry import fetch_bundle

    if (fetched := fetch_bundle(model, registered_version, kept)) is None:
        raise NotFound(f"bundle {digest[:12]} of {model} version {registered_version}: expected in {kept} or in MLflow, found in neither")
    return fetched


def keep_folder(lake: Lake, folder: Path, key: str) -> None:
    """Copy a folder's files into the lake under a key; files that are there stay, so it can be repeated."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        lake.put_if_absent(f"{key}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def evidence_url(release_id: str) -> str:
    """Address of a release's evidence page on the stack's gateway."""
    return f"{load_settings().gateway_url}/releases/{release_id}/evidence/index.html"


def watch_url(model: str) -> str:
    """Address of the newest page about a model's production on the stack's gateway."""
    return f"{load_settings().gateway_url}/watching/{model}/report/index.html"


def evidence_file(release_id: str) -> str:
    """Where a release's evidence page lies in the lake: a path, or an s3:// address."""
    return the_lake().join(f"releases/{release_id}/evidence/index.html")
