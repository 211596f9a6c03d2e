"""Everything in prefect.yaml, sent to the work pools of the cluster: what `prefect deploy --all --prefect-file` reads there.

prefect.yaml stays the one place that says which flows there are, when they start and what starts them.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from headgate.errors import BadInput

TRAINS = ("train_candidate",)


def on_cluster(plan: Mapping[str, Any], on_gpu: Collection[str] = TRAINS, **variables: str) -> dict[str, Any]:
    """The plan with the definition `gpu` as work pool of the flows named, `cluster` as that of all others; BadInput names unknown ones.

    variables: job variables of all of them.
    """
    flows = {_flow(one) for one in plan["deployments"]}
    if unknown := sorted({*on_gpu} - flows):
        raise BadInput(f"expected flows of prefect.yaml ({', '.join(sorted(flows))}), found {', '.join(unknown)}")
    pools = {name: _with(plan["definitions"][name], variables) for name in ("cluster", "gpu")}
    moved = [{**one, "work_pool": pools["gpu" if _flow(one) in on_gpu else "cluster"]} for one in plan["deployments"]]
    kept = {name: value for name, value in plan.items() if name not in ("definitions", "deployments")}
    copied: dict[str, Any] = json.loads(json.dumps(kept | {"deployments": moved}))  # no anchors: each stands for itself
    return copied


def _with(pool: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    return {**pool, "job_variables": {**pool["job_variables"], **variables}}


def _flow(one: Mapping[str, Any]) -> str:
    return str(one["entrypoint"]).rpartition(".")[2]
