from collections.abc import Callable

import pytest
from botocore import exceptions as boto

from headgate.data import delta
from headgate.errors import BadSettings, Conflict, HeadgateError, Unavailable
from headgate.patience import patiently
from headgate.s3_faults import NEXT_STEPS, delta_fault, fault_of, one_line, translated

RETRIED = "run it again when the store is back: what is written stays, and no step doubles anything"
TREE = (
    "Kernel error -> Generic S3 error\n"
    "          \x1b[31m↳\x1b[0m Error performing GET http://s3/b/k in 3ms - Server returned non-2xx status code\n"
    "           \x1b[31m↳\x1b[0m 403 Forbidden\n"
    "            \x1b[31m↳\x1b[0m <Error><Code>{code}</Code></Error>\n\n"
)


def answered(code: str, status: int = 400) -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": code, "Message": "told"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "code", ["SlowDown", "InternalError", "ServiceUnavailable", "503", "429", "RequestTimeout", "ConditionalRequestConflict"]
)
def test_what_the_store_may_get_over_is_unavailable(code: str) -> None:
    with pytest.raises(Unavailable) as fault, translated("s3://b/k"):
        raise answered(code)
    assert str(fault.value) == (
        f"s3://b/k: the object store answered An error occurred ({code}) when calling the PutObject operation: told; {RETRIED}"
    )


@pytest.mark.parametrize("code", sorted(NEXT_STEPS))
def test_what_a_person_has_to_mend_says_expected_found_and_the_next_step(code: str) -> None:
    expected, step = NEXT_STEPS[code]
    fault = fault_of("s3://b/k", code, "told")
    assert isinstance(fault, BadSettings)
    assert str(fault) == f"s3://b/k: expected {expected}, found told; {step}"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (boto.EndpointConnectionError(endpoint_url="http://s3", error="refused"), Unavailable),
        (boto.ReadTimeoutError(endpoint_url="http://s3", error="slow"), Unavailable),
        (boto.ConnectTimeoutError(endpoint_url="http://s3", error="slow"), Unavailable),
        (boto.ConnectionClosedError(endpoint_url="http://s3"), Unavailable),
        (boto.ResponseStreamingError(error="torn"), Unavailable),
        (boto.CredentialRetrievalError(provider="iam-role", error_msg="busy"), Unavailable),
        (boto.SSLError(endpoint_url="https://s3", error="unexpected EOF"), Unavailable),
        (boto.SSLError(endpoint_url="https://s3", error="certificate verify failed"), BadSettings),
        (boto.NoCredentialsError(), BadSettings),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), BadSettings),
        (boto.ProfileNotFound(profile="nobody"), BadSettings),
        (boto.ParamValidationError(report="Invalid bucket name"), BadSettings),
    ],
)
def test_the_clients_own_faults_are_told_apart_too(fault: Exception, kind: type[HeadgateError]) -> None:
    with pytest.raises(kind, match=f"^s3://b/k: .*{type(fault).__name__}: "), translated("s3://b/k"):
        raise fault


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (TREE.format(code="InvalidAccessKeyId"), BadSettings),
        (TREE.format(code="SlowDown"), Unavailable),
        ("Generic DeltaTable error: Parquet error: Object Store error: Generic S3 error: HTTP error: error sending request", Unavailable),
        ("Generic S3 error\n ↳ client error (Connect)\n  ↳ invalid peer certificate: UnknownIssuer", BadSettings),
        ("Generic DeltaTable error: Schema mismatch", None),
    ],
)
def test_what_delta_tells_of_a_store_means_the_same(told: str, kind: type[HeadgateError] | None) -> None:
    found = delta_fault("s3://b/t", told)
    assert found is None if kind is None else type(found) is kind


def test_a_tree_of_causes_becomes_one_line() -> None:
    assert one_line(TREE.format(code="X")) == (
        "Kernel error -> Generic S3 error: Error performing GET http://s3/b/k in 3ms - Server returned non-2xx status code: "
        "403 Forbidden: <Error><Code>X</Code></Error>"
    )


def failing(times: int, fault: Exception) -> tuple[Callable[[], int], list[int]]:
    """Something that fails so often and then works, and how often it was called."""
    calls: list[int] = []

    def attempt() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise fault
        return len(calls)

    return attempt, calls


def test_an_unavailable_store_is_asked_again_and_what_a_person_has_to_mend_is_told_at_once() -> None:
    assert patiently(failing(2, Unavailable("away"))[0], patience_s=30) == 3
    attempt, calls = failing(9, BadSettings("no bucket"))
    with pytest.raises(BadSettings, match="no bucket"):
        patiently(attempt, patience_s=30)
    assert len(calls) == 1


def test_patience_ends_by_time_with_the_last_error() -> None:
    attempt, calls = failing(99, Unavailable("away"))
    with pytest.raises(Unavailable, match="away"):
        patiently(attempt, patience_s=0)
    assert len(calls) == 1


def test_a_merge_starts_over_after_conflicts_and_gives_up_at_the_third_outage() -> None:
    assert delta.retried(failing(4, Conflict("overtaken"))[0]) == 5
    attempt, calls = failing(99, Unavailable("away"))
    with pytest.raises(Unavailable, match="away"):
        delta.retried(attempt)
    assert len(calls) == delta.OUTAGES
