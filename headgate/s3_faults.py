"""What a fault of an S3 means: Unavailable where trying again may help, BadSettings where a person has to change something.

boto3 gives typed errors; delta-rs gives texts, in which the store's own answer stands.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.errors import BadSettings, HeadgateError, Unavailable

CREDENTIALS = (
    "give credentials that the AWS chain finds (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role), "
    "and see that [s3] endpoint_url is the server they belong to"
)
PERMISSIONS = "grant s3:GetObject, s3:PutObject and s3:ListBucket (and s3:DeleteObject for `headgate data vacuum`): docs/s3.md"
BUCKET = "create the bucket, or mend `lake` in headgate.toml"
REGION = "set [s3] region in headgate.toml, or AWS_DEFAULT_REGION, to the bucket's own"
CONDITIONS = "use an S3 that honours If-None-Match and If-Match on PUT: docs/s3.md"

# What was expected and the next step, by the code that the store answers.
NEXT_STEPS = {
    "NoSuchBucket": ("the bucket to exist", BUCKET),
    "InvalidBucketName": ("the name of a bucket", BUCKET),
    "NoCredentials": ("credentials", CREDENTIALS),
    "InvalidAccessKeyId": ("a key that the server knows", CREDENTIALS),
    "SignatureDoesNotMatch": ("a signature by the right secret key", CREDENTIALS),
    "InvalidToken": ("a session token that the server knows", CREDENTIALS),
    "InvalidClientTokenId": ("a key that the server knows", CREDENTIALS),
    "ExpiredToken": ("a session token that is still good", "log in again; a role or a credential_process renews it by itself"),
    "TokenRefreshRequired": ("a session token that is still good", "log in again; a role or a credential_process renews it by itself"),
    "RequestTimeTooSkewed": ("this machine's clock to be right", "set the clock (NTP)"),
    "AccessDenied": ("permission", PERMISSIONS),
    "AllAccessDisabled": ("permission", PERMISSIONS),
    "403": ("permission", PERMISSIONS),
    "PermanentRedirect": ("the bucket's region", REGION),
    "AuthorizationHeaderMalformed": ("the bucket's region", REGION),
    "301": ("the bucket's region", REGION),
    "NotImplemented": ("conditional writes", CONDITIONS),
    "501": ("conditional writes", CONDITIONS),
    "Certificate": ("a certificate that this machine trusts", "add its authority to the system's store, and to AWS_CA_BUNDLE for boto3"),
    "Profile": ("an AWS profile that exists", "mend AWS_PROFILE, or the files in ~/.aws"),
}
RETRIED = "run it again when the store is back: what is written stays, and no step doubles anything"
_answered = re.compile(r"<Code>(\w+)</Code>")
_status = re.compile(r"\b(301|403|501) (?:Moved Permanently|Forbidden|Not Implemented)")
_unreached = re.compile(r"object store|Generic S3 error|error sending request|operation timed out|connection|dns error", re.IGNORECASE)
_colour = re.compile(r"\x1b\[[0-9;]*m")


def fault_of(where: str, code: str, told: str) -> HeadgateError:
    """The error for a code that a store answered (or a client's own fault) at an address."""
    if code in NEXT_STEPS:
        expected, step = NEXT_STEPS[code]
        return BadSettings(f"{where}: expected {expected}, found {told}; {step}")
    return Unavailable(f"{where}: the object store answered {told}; {RETRIED}")


def delta_fault(where: str, told: str) -> HeadgateError | None:
    """The error for what delta-rs tells of a store; None if it is not about one."""
    line = one_line(told)
    if found := _answered.search(line) or _status.search(line):
        return fault_of(where, found[1], line)
    if "certificate" in line:
        return fault_of(where, "Certificate", line)
    return fault_of(where, "", line) if _unreached.search(line) else None


def one_line(told: str) -> str:
    """A coloured tree of causes as one line."""
    causes = (re.sub(r"^\s*↳?\s*", "", line) for line in _colour.sub("", told).splitlines())
    return ": ".join(cause for cause in causes if cause)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Headgate's errors for botocore's."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as fault:
        raise fault_of(where, code_of(fault), str(fault)) from fault
    except (BotoCoreError, HTTPClientError) as fault:
        raise fault_of(where, _own_code(fault), f"{type(fault).__name__}: {fault}") from fault


def code_of(fault: Exception) -> str:
    """What the store answered, as its documentation names it."""
    return str(getattr(fault, "response", {}).get("Error", {}).get("Code", ""))


def _own_code(fault: Exception) -> str:
    """The code for a fault of the client itself; empty where trying again may help."""
    from botocore import exceptions as boto

    if isinstance(fault, boto.NoCredentialsError | boto.PartialCredentialsError | boto.TokenRetrievalError | boto.SSOError):
        return "NoCredentials"
    if isinstance(fault, boto.ProfileNotFound | boto.ConfigParseError | boto.ConfigNotFound):
        return "Profile"
    if isinstance(fault, boto.ParamValidationError):
        return "InvalidBucketName"
    return "Certificate" if isinstance(fault, boto.SSLError) and "certificate" in str(fault).lower() else ""
