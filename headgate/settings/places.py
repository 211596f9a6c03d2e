"""Where endpoints are hosted besides this machine: namespaces of Kubernetes clusters, and regions of SageMaker."""

from typing import Annotated, Literal

from pydantic import Field

from headgate.settings.section import Name, Section

Bucket = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\s]+)*$")]


LONGEST_ENDPOINT = 52  # its objects have names of at most 63 characters, which end in 10 digits of the release


class KubernetesNamespace(Section):
    """One namespace of a cluster that has the Gateway API: docs/kubernetes.md."""

    context: str | None = Field(None, min_length=1, description="of the kubeconfig; not set: its current one, or the pod's own account")
    namespace: Name
    gateway: str | None = Field(
        None,
        pattern=r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-.a-z0-9]*$",
        description="NAMESPACE/NAME of the Gateway; none: one Service shares requests out by whole pods, without a shadow",
    )
    hostnames: tuple[str, ...] = Field((), description="of the requests; empty: all that reach the Gateway")
    url: str = Field(pattern=r"^https?://[^/\s]\S*$", description="the Gateway's or Service's address, as clients and these flows reach it")
    repository: str = Field(pattern=r"^[a-z0-9][a-zA-Z0-9._:/-]*$", description="where the serving images are pushed, by Docker or buildah")
    insecure_registry: bool = Field(False, description="the registry speaks HTTP; buildah alone can push to it")
    build_options: tuple[str, ...] = Field((), description="for the image's build: --build-arg NAME=VALUE, --secret ...")
    callers: tuple[Name, ...] = Field((), description="namespaces whose pods may reach the servers; empty: all of the cluster")
    rate_per_s: float = Field(0, ge=0, description="requests that the champion must bear; sets the pods by what the load test reached")
    min_pods: int = Field(2, ge=1, description="of each release, whatever the rate; with one a drained node is an outage")
    worker_cpu_m: int = Field(1000, ge=50, description="thousandths of a core that are reserved for each worker of a pod")
    ready_s: float = Field(300, gt=0, le=3600, description="pods must be ready, and a route taken, within that time")


class SageMakerRegion(Section):
    """One region of an AWS account: docs/sagemaker.md."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    role_arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$", description="execution role of the endpoints")
    repository: str = Field(pattern=r"^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/\S+$", description="of ECR, in this region")
    models: Bucket | None = Field(None, description="s3://bucket/prefix for model.tar.gz; not set: the bundle is in the image alone")
    captures: Bucket = Field(description="s3://bucket/prefix of what SageMaker captures: requests and answers")
    build_options: tuple[str, ...] = Field((), description="for the image's build: --build-arg NAME=VALUE, --secret ...")
    instance_type: str = Field("ml.c6i.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    instance_count: int = Field(2, ge=1)
    cost_per_hour: float | None = Field(None, ge=0, description="of one such instance, for the cost on the evidence page")
    currency: str = Field("USD", description="of cost_per_hour")
    kms_key: str | None = Field(None, min_length=1, description="encrypts volumes and captures")
    subnets: tuple[str, ...] = Field((), description="of the VPC; with security_groups")
    security_groups: tuple[str, ...] = ()
    data_capture_percent: int = Field(100, ge=1, le=100, description="of the requests; what is not captured is not analysed")
    routing: Literal["blue_green", "rolling"] = Field("blue_green", description="a second fleet, or a few instances at a time")
    max_p99_ms: float = Field(2000, gt=0, le=60000, description="where the champion's own latency gives no limit yet")
    model_registry: bool = Field(False, description="mirror releases and approvals in SageMaker's own registry: docs/aws.md")
    termination_wait_s: int = Field(300, ge=0, le=3600, description="the old fleet stays so long after all traffic left it")
    ready_s: float = Field(3600, gt=0, le=28800, description="an endpoint must be in service within that time")
