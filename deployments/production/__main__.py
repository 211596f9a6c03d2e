"""`python -m deployments.production installation | plan`: what a person applies to a cluster, and what they deploy to it."""

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from deployments.production.installation import Installation, objects
from deployments.production.plan import TRAINS, on_cluster
from deployments.production.pools import NAMESPACE
from headgate.errors import BadInput

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False, help="The flows on Kubernetes: docs/production.md.")


@app.command()
def installation(
    image: Annotated[str, typer.Option(help="the flows' image, best by digest")],
    namespace: Annotated[str, typer.Option(help="namespace of everything")] = NAMESPACE,
    pool: Annotated[list[str] | None, typer.Option(help="work pool that gets a worker; several times", show_default="both")] = None,
    storage_class: Annotated[str | None, typer.Option(help="class of the home claim; must allow ReadWriteMany")] = None,
    home_size: Annotated[str, typer.Option(help="size of the home claim")] = "100Gi",
    account_annotation: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE on the flows' account, such as eks.amazonaws.com/role-arn=...; several times")
    ] = None,
) -> None:
    """Print the Kubernetes objects that run flows. Nothing is applied, and nothing secret is in them."""
    given = {"image": image, "namespace": namespace, "storage_class": storage_class, "home_size": home_size}
    if bad := [one for one in account_annotation or () if "=" not in one]:
        raise typer.BadParameter(f"expected NAME=VALUE, found {', '.join(bad)}")
    annotations = dict(one.split("=", 1) for one in account_annotation or ())
    try:
        wanted = Installation.model_validate(given | {"account_annotations": annotations} | ({"pools": tuple(pool)} if pool else {}))
    except ValidationError as fault:
        raise typer.BadParameter("; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in fault.errors())) from None
    sys.stdout.write(yaml.safe_dump_all(objects(wanted), sort_keys=False))


@app.command()
def plan(
    gpu: Annotated[
        list[str] | None, typer.Option(help="flow that runs on GPU nodes; several times", show_default=", ".join(TRAINS))
    ] = None,
    no_gpu: Annotated[bool, typer.Option("--no-gpu", help="none does")] = False,
    namespace: Annotated[str, typer.Option(help="namespace of the Jobs")] = NAMESPACE,
    file: Annotated[Path, typer.Option(help="the plan of the local stack")] = Path("prefect.yaml"),
) -> None:
    """Print prefect.yaml with the work pools of the cluster, for `prefect deploy --all --prefect-file`."""
    try:
        local, elsewhere = yaml.safe_load(file.read_text(encoding="utf-8")), {"namespace": namespace} if namespace != NAMESPACE else {}
        found = on_cluster(local, () if no_gpu else gpu or TRAINS, **elsewhere)
    except BadInput as fault:
        raise typer.BadParameter(str(fault)) from None
    sys.stdout.write(yaml.safe_dump(found, sort_keys=False, width=200))


if __name__ == "__main__":
    app(prog_name="python -m deployments.production")
