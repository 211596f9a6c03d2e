"""The servers that `serving.py` compares: how each is started, asked and measured; two workers each, one thread a worker."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from peers import HOME, locked, peer_python
from serving_load import Body

HERE = Path(__file__).resolve().parent
PEERS = HERE / "serving_peers"
# What `headgate.model.runtime` imports, for LitServe with our engine; its versions are the lock's.
ENGINE = ("onnxruntime", "tokenizers", "numpy", "orjson", "filelock", "pydantic-settings", "typing-extensions")
OPENTELEMETRY = ("opentelemetry-api==1.45.1", "opentelemetry-sdk==1.45.1", "opentelemetry-semantic-conventions==0.66b1")
OURS, SAME_ENGINE = "Headgate", "LitServe with our engine"


@dataclass(frozen=True, slots=True)
class Environment:
    """A peer's own environment: its name under `.headgate/bench/` and what is installed there beside torch."""

    name: str
    requirements: tuple[str, ...]

    def python(self) -> Path:
        """Its interpreter; made on the first call."""
        return peer_python(self.name, [locked("transformers"), *self.requirements])


@dataclass(frozen=True, slots=True)
class Model:
    """The same fine-tuned model in both forms: as transformers loads it, and as Headgate serves it."""

    stock: Path
    bundle: Path


@dataclass(frozen=True, slots=True)
class Server:
    """One side of the comparison; `{port}`, `{stock}`, `{bundle}`, `{saved}` in its command are filled in."""

    name: str
    body: Body
    command: tuple[str, ...]
    environment: Environment | None = None
    save: str | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def stock(self) -> bool:
        """Whether it serves the model by transformers, as its documentation shows."""
        return self.name not in (OURS, SAME_ENGINE)

    def python(self) -> Path:
        """The interpreter that it runs in."""
        return self.environment.python() if self.environment else Path(sys.executable)

    def filled(self, model: Model, port: int) -> list[str]:
        """Its command for a model and a port, without the interpreter."""
        known = {"port": port, "stock": model.stock, "bundle": model.bundle, "saved": saved_at(self.name, model)}
        return [part.format(**known) for part in self.command]

    def settings(self, model: Model, port: int) -> dict[str, str]:
        """Environment variables: one thread, no network, no usage reports, caches in this checkout."""
        home, path = HOME / "serving", f"{self.python().parent}{os.pathsep}{os.environ['PATH']}"
        return {
            "PATH": path,
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "HF_HUB_OFFLINE"), "1"),
            **{"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""},
            **{"HF_HOME": str(home / "hf"), "BENTOML_HOME": str(home / "bentoml"), "PYTHONDONTWRITEBYTECODE": ""},
            **{"BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"},
            **{"BENCH_MODEL": str(model.stock), "BENCH_BUNDLE": str(model.bundle), "BENCH_PORT": str(port)},
            **self.variables,
        }


def saved_at(name: str, model: Model) -> Path:
    """Where a peer keeps the model in its own form."""
    return model.stock.with_name(f"{model.stock.name}-{name.split()[0].lower()}")


LITSERVE = Environment("litserve", ("litserve==0.2.19", *(locked(name) for name in ENGINE)))
FASTAPI = Environment("fastapi", (locked("fastapi"), "uvicorn[standard]==0.54.0"))
UVICORN = ("-m", "uvicorn", "--app-dir", str(PEERS), "fastapi_pipeline:app", "--workers", "2", "--port", "{port}", "--log-level", "warning")
MLFLOW = ("-m", "mlflow", "models", "serve", "-m", "{saved}", "-p", "{port}", "--workers", "2", "--env-manager", "local")
BENTOML = ("-m", "bentoml", "serve", "bentoml_service:Classifier", "--working-dir", str(PEERS), "--host", "127.0.0.1", "--port", "{port}")
# In Ray's favour on a busy machine: it would run its workers at niceness 15 and give up on its proxy after 5 s.
RAY = {"RAY_worker_niceness": "0", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"}
SERVERS = (
    Server("FastAPI + pipeline()", Body("/classify"), UVICORN, FASTAPI),
    Server(
        "mlflow models serve",
        Body("/invocations", '{"inputs": ["', '"]}'),
        MLFLOW,
        Environment("mlflow", (locked("mlflow"),)),
        save="mlflow_save.py",
    ),
    Server("BentoML", Body("/classify", '{"texts": ["', '"]}'), BENTOML, Environment("bentoml", ("bentoml==1.4.39", *OPENTELEMETRY))),
    Server("Ray Serve", Body("/"), (str(PEERS / "ray_deployment.py"),), Environment("ray", ("ray[serve]==2.60.0",)), variables=RAY),
    Server("LitServe", Body("/predict"), (str(PEERS / "litserve_pipeline.py"),), LITSERVE),
    Server(
        SAME_ENGINE,
        Body("/predict"),
        (str(PEERS / "litserve_engine.py"),),
        LITSERVE,
        variables={"PYTHONPATH": str(HERE.parent), "BENCH_BATCH_TIMEOUT_S": "0"},
    ),
    Server(
        OURS,
        Body("/invocations", '{"instances": [{"text": "', '"}]}'),
        ("-m", "headgate.serving", "{bundle}", "--workers", "2", "--port", "{port}"),
    ),
)


def choose_servers(peers: str | None) -> tuple[Server, ...]:
    """Ours and the peers of a comma-separated list (the start of a name will do), or all; ValueError names the unknown ones."""
    if peers is None:
        return SERVERS
    wanted = [name.strip().lower() for name in peers.split(",") if name.strip()]
    known = [server.name for server in SERVERS if server.name != OURS]
    if unknown := [name for name in wanted if not any(each.lower().startswith(name) for each in known)]:
        raise ValueError(f"--peers: expected some of {'; '.join(known)}, found {', '.join(unknown)}")
    return tuple(each for each in SERVERS if each.name == OURS or any(each.name.lower().startswith(name) for name in wanted))
