"""The clients of one region of AWS, and Headgate's errors for what the services answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headgate.errors import HeadgateError, NotFound, Refused, Unavailable
from headgate.settings import SageMakerRegion

CONNECT_S, READ_S, ATTEMPTS = 10, 70, 5  # a model may take 60 s to answer
BUSY = (
    "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
    "ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "InternalServerException", "InternalServerError",
    "InternalError", "InternalServiceFault", "InternalDependencyException", "ModelNotReadyException", "RequestTimeout", "ConflictException",
)  # fmt: skip
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "UnauthorizedSSOTokenError")
STRANGER = ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure")
FORBIDDEN = ("AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "403")
ABSENT = ("NoSuchKey", "NoSuchBucket", "ResourceNotFound", "ResourceNotFoundException", "404")


@dataclass(frozen=True)
class Clients:
    """boto3's clients of one region; whoever makes them chooses the session, and with it the account."""

    sagemaker: Any
    runtime: Any
    s3: Any
    ecr: Any
    cloudwatch: Any
    sts: Any


def clients_of(place: SageMakerRegion, session: Any = None) -> Clients:
    """The region's clients; credentials and AWS_ENDPOINT_URL as boto3 finds them. Refused where what it finds cannot be used."""
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    config = Config(region_name=place.region, connect_timeout=CONNECT_S, read_timeout=READ_S, retries=retries)
    names = ("sagemaker", "sagemaker-runtime", "s3", "ecr", "cloudwatch", "sts")
    with answered(f"AWS's clients for {place.region}"):
        made: Any = session or boto3.Session()  # its stubs know a client's name only as a literal
        try:
            return Clients(*(made.client(name, config=config) for name in names))
        except ValueError as fault:  # of an address that is none
            raise Refused(f"AWS's clients for {place.region}: {fault}; mend AWS_ENDPOINT_URL or the profile's endpoint_url") from fault


@contextmanager
def answered(what: str) -> Iterator[None]:
    """Headgate's errors for botocore's; `what` says what was being done, to which thing."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as fault:
        raise fault_of(what, code_of(fault), message_of(fault), _status(fault)) from fault
    except (BotoCoreError, HTTPClientError) as fault:
        raise _own_fault(what, fault) from fault


def code_of(fault: Exception) -> str:
    """What the service answered, as its documentation names it."""
    return str(getattr(fault, "response", {}).get("Error", {}).get("Code", ""))


def message_of(fault: Exception) -> str:
    """What the service said, in its own words."""
    return str(getattr(fault, "response", {}).get("Error", {}).get("Message", "")) or str(fault)


def _status(fault: Exception) -> int:
    return int(getattr(fault, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def fault_of(what: str, code: str, told: str, status: int = 400) -> HeadgateError:
    """The error for a code that a service answered."""
    said = f"{what}: AWS answered {code or status}: {told}"
    if code in EXPIRED:
        return Unavailable(f"{said}; renew the credentials (a role or a credential_process does it by itself): it goes on from here then")
    if code in BUSY or status >= 500:
        return Unavailable(f"{said}; nothing is lost, try again")
    if code in ABSENT or told.startswith("Could not find") or (code == "ValidationError" and told.endswith("not found.")):
        return NotFound(said)
    if code == "ResourceLimitExceeded":
        return Refused(f"{said}; ask for a higher quota (Service Quotas), use another instance_type, or delete idle endpoints")
    if code in STRANGER:
        return Refused(f"{said}; give credentials that the AWS chain finds (a role, AWS_PROFILE, or keys)")
    if code in FORBIDDEN:
        return Refused(f"{said}; grant it to the account of these flows: docs/sagemaker.md")
    return Refused(said)


def _own_fault(what: str, fault: Exception) -> HeadgateError:
    """For what went wrong before a service answered."""
    from botocore import exceptions as boto

    said = f"{what}: {type(fault).__name__}: {fault}"
    expired = (boto.TokenRetrievalError, boto.SSOError, boto.CredentialRetrievalError)
    if isinstance(fault, expired):
        return Unavailable(f"{said}; renew the credentials: it goes on from here then")
    if isinstance(fault, boto.NoCredentialsError | boto.PartialCredentialsError | boto.ProfileNotFound):
        return Refused(f"{said}; give credentials that the AWS chain finds (a role, AWS_PROFILE, or keys)")
    if isinstance(fault, boto.ConfigParseError | boto.ConfigNotFound):
        return Refused(f"{said}; mend that file, or name another with AWS_CONFIG_FILE")
    if isinstance(fault, boto.ParamValidationError | boto.UnknownServiceError):
        return Refused(said)
    return Unavailable(f"{said}; nothing is lost, try again")
