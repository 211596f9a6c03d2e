"""The commands `headgate render kubernetes | argo | rbac | iam`."""

import sys
from typing import Annotated, Literal

import typer

render_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Print Kubernetes objects and IAM policies, for people and for GitOps. Nothing is applied: docs/kubernetes.md, docs/aws.md.",
)
ReleaseId = Annotated[str, typer.Argument(help="release id or the beginning of one (see `headgate status`)")]
Image = Annotated[str, typer.Option(help="serving image of the release's bundle, by digest: repository@sha256:...")]
Environment = Annotated[str, typer.Option(help="environment, such as staging or production; part of all names")]
Namespace = Annotated[str, typer.Option(help="namespace of the objects")]
GatewayName = Annotated[str, typer.Option(help="Gateway that the HTTPRoute hangs on: NAMESPACE/NAME, or NAME in the same namespace")]
Hostnames = Annotated[
    list[str] | None, typer.Option("--hostname", help="host name that the route answers for; several times", show_default=False)
]
Callers = Annotated[
    list[str] | None,
    typer.Option("--caller", help="namespace that may reach the pods; several times; none: all of the cluster", show_default=False),
]
Rate = Annotated[
    float,
    typer.Option("--rate-per-s", min=0, max=1_000_000, help="requests a second to be ready for; the load test tells the pods"),
]


@render_app.command()
def kubernetes(
    release: ReleaseId,
    image: Image,
    environment: Environment = "production",
    namespace: Namespace = "default",
    gateway: GatewayName = "headgate",
    hostname: Hostnames = None,
    caller: Callers = None,
    rate_per_s: Rate = 0,
    autoscaling: Annotated[
        Literal["autoscaling/v2", "autoscaling/v2beta2"], typer.Option(help="v2beta2 up to Kubernetes 1.22")
    ] = "autoscaling/v2",
    disruption: Annotated[Literal["policy/v1", "policy/v1beta1"], typer.Option(help="v1beta1 up to Kubernetes 1.20")] = "policy/v1",
    pod_monitor: Annotated[bool, typer.Option("--pod-monitor", help="add a PodMonitor for the Prometheus operator")] = False,
) -> None:
    """Print a release's own objects and the HTTPRoute that gives it all requests.

    Memory and CPU come from the release's load test.

    \b
    headgate render kubernetes 3f9a1c --image registry.example/replies@sha256:9c90... --gateway infra/public > replies.yaml
    """
    from deployments.manifests.workload import Apis
    from stack.render import Place, render_kubernetes

    place = Place(image, environment, namespace, gateway, hostname or [], caller or [], rate_per_s)
    sys.stdout.write(render_kubernetes(release, place, Apis(autoscaling=autoscaling, disruption=disruption, pod_monitor=pod_monitor)))


@render_app.command()
def argo(
    release: ReleaseId,
    image: Image,
    prometheus: Annotated[str, typer.Option(help="address of Prometheus, as Argo reaches it")],
    environment: Environment = "production",
    namespace: Namespace = "default",
    gateway: GatewayName = "headgate",
    hostname: Hostnames = None,
    caller: Callers = None,
    rate_per_s: Rate = 0,
) -> None:
    """Print the same for Argo Rollouts: Rollout and AnalysisTemplate by the policy of the stage with this environment.

    \b
    headgate render argo 3f9a1c --image registry.example/replies@sha256:9c90... --prometheus http://prometheus.monitoring:9090
    """
    from stack.render import Place, render_argo

    place = Place(image, environment, namespace, gateway, hostname or [], caller or [], rate_per_s)
    sys.stdout.write(render_argo(release, place, prometheus))


@render_app.command()
def rbac(
    namespace: Namespace = "default",
    account: Annotated[str, typer.Option(help="service account that the flows run as")] = "headgate",
    account_namespace: Annotated[str | None, typer.Option(help="where it lives; else the same namespace", show_default=False)] = None,
) -> None:
    """Print the Role that the flows need in a namespace, and its binding. There is no rule for the whole cluster.

    \b
    headgate render rbac --namespace production --account flows --account-namespace headgate | kubectl apply -f -
    """
    from stack.render import render_rbac

    sys.stdout.write(render_rbac(namespace, account, account_namespace))


@render_app.command()
def iam(
    place: Annotated[str, typer.Option(help="NAME of the table [sagemaker.NAME] in headgate.toml")],
    flow: Annotated[
        Literal["train_candidate", "release_candidate", "rollback_release", "watch_production", "shipping", "endpoint"] | None,
        typer.Option(help="one policy alone; shipping: of who ships the logs, endpoint: of the endpoints' own role", show_default=False),
    ] = None,
) -> None:
    """Print the IAM policy that each flow needs for a region of SageMaker, as JSON.

    They name the place's bucket, repository, role and key, and the models that have a stage there.

    \b
    headgate render iam --place us-east --flow release_candidate > release.json
    aws iam put-role-policy --role-name headgate-release --policy-name headgate --policy-document file://release.json
    """
    from stack.render_aws import render_iam

    sys.stdout.write(render_iam(place, flow))
