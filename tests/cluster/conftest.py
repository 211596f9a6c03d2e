"""A real Kubernetes cluster, a registry, images of real bundles and a Gateway, for the lane `cluster`.

KUBECONFIG names any cluster whose nodes reach this machine's loopback (one node on this machine, or HEADGATE_TEST_REGISTRY for another
registry that both reach); without it the node of ../shared/tools/k8s is started, and stopped afterwards.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from image_engine import CERTIFICATES, Engine, find_engine, give_up
from kubectl import ENDPOINT, kubectl
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.images import build_and_push
from deployments.kubernetes import KubernetesTarget, Place
from deployments.manifests.traffic import Gateway
from deployments.manifests.workload import Replicas, Resources
from deployments.prefect_server import LEASES_ON_DISK
from deployments.target import Revision
from headgate.model.filters import FilterConfig
from headgate.model.wrapping import wrap
from headgate.release.configuration import Configuration

CHECKOUT = Path(__file__).parents[2]
DATA = {"dataset": "replies", "version": 0, "digest": "d" * 32, "rows": 700}
FAULTY = {"crash": '["python", "-c", "raise SystemExit(3)"]', "memory": '["python", "-c", "x = bytearray(2**30); input()"]'}


@pytest.fixture(scope="session")
def cluster(shared: Path) -> Iterator[str]:
    """The kubeconfig's path."""
    if missing := [part for part in ("kubectl", "nginx", "docker-registry") if shutil.which(part) is None]:
        give_up(f"expected kubectl, nginx and docker-registry, found no {', '.join(missing)}")
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    tools = shared / "tools" / "k8s"
    others = _node_is_up()
    up = subprocess.run([tools / "up.sh"], capture_output=True, text=True, timeout=1500)
    if up.returncode == 77:
        give_up(f"no cluster: {up.stderr.strip()}")
    assert up.returncode == 0, up.stderr
    with pytest.MonkeyPatch.context() as patch:
        try:
            found = subprocess.run([tools / "kubeconfig.sh"], capture_output=True, text=True, check=True).stdout.strip()
            patch.setenv("KUBECONFIG", found)
            yield found
        finally:
            if not others:
                subprocess.run([tools / "down.sh"], check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def namespace(cluster: str, shared: Path) -> Iterator[str]:
    """A namespace of this run, on a cluster that knows HTTPRoutes."""
    if "httproutes" not in kubectl("api-resources", "--api-group=gateway.networking.k8s.io"):
        kubectl("create", "--validate=false", "-f", str(shared / "tools/k8s/crds/gw-httproutes.yaml"))
        kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io")
    with _namespace() as name:
        yield name


@pytest.fixture(scope="session")
def gateway(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Gateway that follows the namespace's HTTPRoute."""
    with _gateway(namespace, tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture(scope="module")
def place_before(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Another namespace, and the address of its Gateway: pre-production."""
    with _namespace() as name, _gateway(name, tmp_path_factory.mktemp("gateway")) as url:
        yield name, url


@contextmanager
def _namespace() -> Iterator[str]:
    name = f"headgate-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def _gateway(namespace: str, folder: Path) -> Iterator[str]:
    port = _free_port()
    program = [sys.executable, str(Path(__file__).with_name("nginx_gateway.py")), str(folder), str(port), namespace]
    with _running(program, folder / "log") as process:
        try:
            _until(lambda: _listens(port), f"the Gateway does not listen; see {folder}/log")
            assert process.poll() is None
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            os.kill(int((folder / "nginx.pid").read_text()), signal.SIGTERM)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry on loopback, Debian's docker-registry."""
    if given := os.environ.get("HEADGATE_TEST_REGISTRY"):
        yield given
        return
    folder, port = tmp_path_factory.mktemp("registry"), _free_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with _running(["docker-registry", "serve", str(folder / "config.yml")], folder / "log"):
        _until(lambda: _listens(port), "the registry does not listen")
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server as the local stack has it: that of Prefect's test harness frees nothing that a killed run held."""
    folder, port = tmp_path_factory.mktemp("prefect"), _free_port()
    variables = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", **LEASES_ON_DISK}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with _running(command, folder / "log"), temporary_settings({PREFECT_API_URL: variables["PREFECT_API_URL"]}):
            _until(lambda: _listens(port), f"Prefect's server does not listen; see {folder}/log", timeout_s=300)
            yield variables["PREFECT_API_URL"]


@pytest.fixture(scope="session")
def revisions(shared: Path, registry: str, tiny_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Revision]:
    """Releases whose images lie in the registry: `first` scores, `second` abstains from all, `crash` and `memory` never start."""
    folder, repository = tmp_path_factory.mktemp("images"), f"{registry}/replies"
    engine = find_engine(shared, folder)
    secret = ["--secret", f"id=ca,src={CERTIFICATES}"] if CERTIFICATES.exists() else []
    found, names = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in engine.environment.items():
            patch.setenv(variable, value)
        for number, (name, least) in enumerate([("first", 0.0), ("second", 1.0)], start=1):
            provenance = {"model": "replies", "commit": str(number) * 40, "data_version": DATA}
            bundle = wrap(tiny_classifier, folder / name, FilterConfig(min_confidence=least, out_of_scope_share=0.0), provenance)
            image = build_and_push(bundle.path, repository, [*engine.build[2:], *secret], insecure=engine.run == "podman")
            names[name] = f"{repository}:bundle-{bundle.digest[:16]}"
            found[name] = _revision(number, bundle.digest, bundle.path, image.partition("@")[2])
    for number, (name, entrypoint) in enumerate(FAULTY.items(), start=3):
        (folder / "Dockerfile").write_text(f"FROM {names['first']}\nENTRYPOINT {entrypoint}\n")
        options = ["--file", str(folder / "Dockerfile"), "--tag", f"{repository}:{name}"]
        built = engine.call(*engine.build, *options, str(folder / "first"))
        assert built.returncode == 0, built.stderr[-3000:]
        found[name] = _revision(
            number, found["first"].bundle_digest, folder / "first", _push(engine, f"{repository}:{name}", folder / name)
        )
    found["nowhere"] = _revision(5, found["first"].bundle_digest, folder / "first", f"sha256:{'0' * 64}")
    return found


@pytest.fixture(scope="session")
def make_target(namespace: str, gateway: str, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., KubernetesTarget]:
    """Another target on the same namespace, as another process would have it."""
    home = tmp_path_factory.mktemp("home")
    size = (Resources(cpu_m=100, memory_mi=256), Replicas(least=1, most=2))

    def made(with_gateway: bool = True, public_key: Path | None = None) -> KubernetesTarget:
        where = Gateway(name="test", namespace=namespace) if with_gateway else None
        place = Place(namespace=namespace, gateway=where, url=gateway, repository=f"{registry}/replies")
        return KubernetesTarget(place=place, home=home, size=lambda _: size, public_key=public_key, ready_s=90)

    return made


@pytest.fixture
def target(make_target: Callable[..., KubernetesTarget], namespace: str) -> Iterator[KubernetesTarget]:
    """A target whose endpoint is gone afterwards, without the time that its servers would take to leave."""
    found = make_target()
    try:
        yield found
    finally:
        _cleared(found, namespace)


@pytest.fixture
def target_without_gateway(make_target: Callable[..., KubernetesTarget], namespace: str) -> Iterator[KubernetesTarget]:
    """As if the cluster had no Gateway API; its endpoint is gone afterwards."""
    found = make_target(with_gateway=False)
    try:
        yield found
    finally:
        _cleared(found, namespace)


def _cleared(target: KubernetesTarget, namespace: str) -> None:
    kubectl("delete", "deployments,replicasets", "--all", "-n", namespace)
    kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=0", "--force")
    target.delete(ENDPOINT)


def _revision(number: int, digest: str, bundle: Path, image_digest: str) -> Revision:
    return Revision(
        release=f"{number:x}" * 64,
        bundle_digest=digest,
        bundle=bundle,
        model="replies",
        configuration=Configuration(log_text="hash", max_cached=50),
        image_digest=image_digest,
    )


def _push(engine: Engine, name: str, told: Path) -> str:
    """The digest that the registry gave it."""
    done = engine.call("podman", "push", "--tls-verify=false", f"--digestfile={told}.digest", name)
    assert done.returncode == 0, done.stderr
    return Path(f"{told}.digest").read_text().strip()


def _node_is_up() -> bool:
    """Whether somebody started the node of ../shared/tools/k8s before us."""
    file = Path("/run/k8snode/apiserver.pid")
    return file.exists() and Path(f"/proc/{file.read_text().strip()}").exists()


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with the block, however the block ends; what it says is in a file."""
    with log.open("w") as opened, subprocess.Popen([*command], stdout=opened, stderr=opened) as process:
        try:
            yield process
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


def _until(look: Callable[[], bool], otherwise: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)
