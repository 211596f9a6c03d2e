"""The local stack: which services run, where, and how they are brought up and down."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from deployments.ports import Ports
from deployments.prefect_server import LEASES_ON_DISK
from deployments.processes import Processes, Program
from headgate.data.delivery_secrets import VARIABLE, read_secrets
from headgate.errors import Unavailable
from headgate.record import Record
from headgate.settings import Settings, load_settings

Say = Callable[[str], None]
ANNOTATIONS = "annotations"
WORKER_LOOKS_EVERY_S = "2"  # instead of 10: a release is a handful of flow runs, each of which waited 5 s for nothing
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Addresses(Record):
    """Where the stack's services listen, all on loopback."""

    prefect: str
    mlflow: str
    gateway: str

    def variables(self, home: Path) -> dict[str, str]:
        """Environment of everything that talks to the stack."""
        return {
            "PREFECT_API_URL": f"{self.prefect}/api",
            "PREFECT_UI_URL": self.prefect,
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_PROFILES_PATH": str(home / "prefect" / "profiles.toml"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
            "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "HEADGATE_GATEWAY_URL": self.gateway,
            # Training shares the machine with the endpoints. Threads that spin while they wait for each other made an
            # epoch five times slower there (148 s against 27 s); half the cores lose a tenth on an idle machine.
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)),
        }


def known_addresses(settings: Settings) -> Addresses | None:
    """Where the stack was last started, or None if it never was."""
    ports = Ports(settings.home.absolute()).known()
    if not {"prefect", "mlflow", "gateway"} <= ports.keys():
        return None
    return Addresses(**{name: f"http://127.0.0.1:{ports[name]}" for name in ("prefect", "mlflow", "gateway")})


def connect(settings: Settings) -> Addresses:
    """Point this process at the running stack; Unavailable if there is none."""
    addresses = known_addresses(settings)
    if addresses is None or not _answers(f"{addresses.prefect}/api/health"):
        raise Unavailable("the local stack does not run; start it with `headgate up` (or `make run`)")
    _export(addresses, settings)
    return addresses


def start(settings: Settings, say: Say) -> Addresses:
    """Start what does not run yet, repair what is half up, wait until all of it answers, and say what was found."""
    home = settings.home.absolute()
    processes = Processes(home)
    for line in processes.ensure_running():
        say(f"found: {line}")
    addresses = _assign(settings, say)
    _export(addresses, settings)
    for program in _servers(settings, addresses):
        processes.start(program)
    wait_for(
        {"Prefect": f"{addresses.prefect}/api/health", "MLflow": f"{addresses.mlflow}/health", "gateway": f"{addresses.gateway}/ping"},
        processes,
    )
    return addresses


def start_workers(settings: Settings, addresses: Addresses) -> None:
    """Start what runs flows, once the server knows the deployments."""
    processes = Processes(settings.home.absolute())
    environment = addresses.variables(settings.home.absolute())
    worker = ("-m", "prefect", "worker", "start", "--pool", "headgate", "--type", "process", "--name", "local", "--limit", "4")
    looks = environment | {"PREFECT_WORKER_QUERY_SECONDS": WORKER_LOOKS_EVERY_S}
    processes.start(_program("worker", worker, looks, stop_wait_s=30))
    processes.start(_program("recovery", ("-m", "stack.recovery"), environment))
    if settings.lake.startswith("s3://"):
        processes.stop("watcher")
    else:
        processes.start(_program("watcher", ("-m", "stack.landing_watcher"), environment))
    processes.start(_program("shipping", ("-m", "stack.shipping"), environment))


def start_annotation_gateway(settings: Settings, addresses: Addresses, say: Say) -> str | None:
    """Take annotations over HTTP where the environment has a secret for that, and say where; an empty one ends it."""
    processes, ports = Processes(settings.home.absolute()), Ports(settings.home.absolute())
    secrets = {name: value for name, value in os.environ.items() if name.startswith(VARIABLE)}
    if not secrets:
        return _annotation_address(settings, ports)
    if not read_secrets(secrets, {model.dataset for model in settings.models.values()}):
        processes.stop(ANNOTATIONS)
        ports.release(ANNOTATIONS)
        return None
    assigned = ports.get(ANNOTATIONS, settings.gateway.port)
    if assigned.note:
        say(f"found: {assigned.note}")
    command = ("-m", "headgate", "gateway", "--port", str(assigned.port))
    processes.start(_program(ANNOTATIONS, command, addresses.variables(settings.home.absolute()) | secrets))
    return _annotation_address(settings, ports)


def _annotation_address(settings: Settings, ports: Ports) -> str | None:
    port = ports.known().get(ANNOTATIONS)
    return f"http://{settings.gateway.host}:{port}" if port else None


def stop(settings: Settings) -> list[str]:
    """Stop every process of the stack, endpoints included; all state stays on disk."""
    return Processes(settings.home.absolute()).shutdown()


def _assign(settings: Settings, say: Say) -> Addresses:
    ports = Ports(settings.home.absolute())
    wanted = {"prefect": settings.stack.prefect_port, "mlflow": settings.stack.mlflow_port, "gateway": settings.stack.gateway_port}
    found = {}
    for name, preferred in wanted.items():
        assigned = ports.get(name, preferred)
        if assigned.note:
            say(f"found: {assigned.note}")
        found[name] = f"http://127.0.0.1:{assigned.port}"
    return Addresses(**found)


def _servers(settings: Settings, addresses: Addresses) -> list[Program]:
    home = settings.home.absolute()
    environment = addresses.variables(home)
    port = {name: url.rpartition(":")[2] for name, url in addresses.model_dump().items()}
    (home / "mlflow").mkdir(parents=True, exist_ok=True)
    store = (
        "--backend-store-uri",
        f"sqlite:///{home}/mlflow/mlflow.db",
        "--artifacts-destination",
        f"{home}/mlflow/artifacts",
        "--workers",
        "1",
    )
    server = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port["prefect"])
    return [
        _program("prefect", server, environment | LEASES_ON_DISK),
        _program("mlflow", ("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port["mlflow"], *store), environment),
        _program("gateway", ("-m", "stack.gateway", "--port", port["gateway"]), environment),
    ]


def _program(name: str, arguments: Iterable[str], environment: dict[str, str], stop_wait_s: int = 10) -> Program:
    """A Python program that runs in the checkout; nothing of the caller's shell is in it, so that another shell restarts nothing."""
    path = os.pathsep.join([str(Path(sys.executable).parent), SYSTEM_PATH])
    return Program(
        name=name,
        command=(sys.executable, *arguments),
        env=environment | {"PATH": path, "PYTHONUNBUFFERED": "1"},
        cwd=Path.cwd(),
        stop_wait_s=stop_wait_s,
    )


def _export(addresses: Addresses, settings: Settings) -> None:
    os.environ.update(addresses.variables(settings.home.absolute()))
    load_settings.cache_clear()  # the gateway's address is one of them


def wait_for(pages: dict[str, str], processes: Processes, timeout_s: float = 300) -> None:
    """Wait until every page answers; Unavailable names those that do not, with the end of their log."""
    deadline = time.monotonic() + timeout_s
    missing = dict(pages)
    while missing:
        missing = {name: url for name, url in missing.items() if not _answers(url)}
        if missing and time.monotonic() > deadline:
            logs = "\n".join(line for name in missing for line in [f"--- {name}", *processes.log_tail(name.lower(), 8)])
            raise Unavailable(f"expected an answer within {timeout_s:.0f} s, found none from {', '.join(missing)}:\n{logs}")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=3) as answer:  # noqa: S310 - an http address of our own
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
