import base64

import pytest

from headgate.data.delivery_secrets import SignedHeaders, is_fresh, judge_signature, judge_token, read_secrets, sign
from headgate.errors import BadSettings

# The test vector of the Standard Webhooks specification's libraries.
KEY, ID, TIME, BODY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER_KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
TOKEN, NEW_TOKEN, OF_ONE = "a" * 32, "b" * 32, "c" * 32
DATASETS = ["replies", "ticket-texts"]


def headers(signature: str = SIGNATURE, timestamp: str = str(TIME), message: str = ID) -> SignedHeaders:
    return SignedHeaders(message, timestamp, signature)


def test_the_published_signature_is_made_and_accepted() -> None:
    assert sign(KEY, ID, TIME, BODY) == SIGNATURE
    found = read_secrets({"HEADGATE_WEBHOOK_SECRETS": KEY}, [])
    assert judge_signature(found, "replies", headers(), BODY) == "allowed"


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (headers(), BODY + b" "),
        (headers(timestamp=str(TIME + 1)), BODY),
        (headers(message="msg_other"), BODY),
        (headers(SIGNATURE.replace("v1,", "v1a,")), BODY),
        (headers(SIGNATURE.replace("v1,", "")), BODY),
        (headers("v1,"), BODY),
        (headers("v1,é\udcff"), BODY),
        (headers(""), BODY),
    ],
)
def test_anything_else_than_what_was_signed_is_unknown(given: SignedHeaders, body: bytes) -> None:
    assert judge_signature(read_secrets({"HEADGATE_WEBHOOK_SECRETS": KEY}, []), "replies", given, body) == "unknown"


def test_while_a_key_is_changed_both_are_accepted_and_a_delivery_may_carry_both_signatures() -> None:
    found = read_secrets({"HEADGATE_WEBHOOK_SECRETS": f"{OTHER_KEY} {KEY}"}, [])
    assert judge_signature(found, "replies", headers(), BODY) == "allowed"
    assert judge_signature(found, "replies", headers(sign(OTHER_KEY, ID, TIME, BODY)), BODY) == "allowed"
    assert judge_signature(found[:1], "replies", headers(f"{SIGNATURE} {sign(OTHER_KEY, ID, TIME, BODY)}"), BODY) == "allowed"


def test_a_token_opens_its_data_set_only_and_several_are_accepted_at_once() -> None:
    found = read_secrets({"HEADGATE_WEBHOOK_SECRETS": f"{TOKEN},\n{NEW_TOKEN}", "HEADGATE_WEBHOOK_SECRETS_TICKET_TEXTS": OF_ONE}, DATASETS)
    assert [judge_token(found, "replies", token) for token in (TOKEN, NEW_TOKEN, OF_ONE)] == ["allowed", "allowed", "elsewhere"]
    assert judge_token(found, "ticket-texts", OF_ONE) == "allowed"
    for wrong in ("", "a", TOKEN + "x", TOKEN.upper(), "é\udcff", KEY):
        assert judge_token(found, "replies", wrong) == "unknown"


def test_a_key_is_no_token_and_a_token_no_key() -> None:
    found = read_secrets({"HEADGATE_WEBHOOK_SECRETS": f"{KEY} {TOKEN}"}, [])
    assert judge_token(found, "replies", KEY) == "unknown"
    assert judge_signature(found[1:], "replies", headers(), BODY) == "unknown"


def test_a_key_may_stand_without_its_padding() -> None:
    found = read_secrets({"HEADGATE_WEBHOOK_SECRETS": OTHER_KEY.rstrip("=")}, [])
    assert judge_signature(found, "replies", headers(sign(OTHER_KEY, ID, TIME, BODY)), BODY) == "allowed"


def test_every_bad_secret_is_told_at_once_and_none_is_shown() -> None:
    with pytest.raises(BadSettings) as told:
        read_secrets(
            {
                "HEADGATE_WEBHOOK_SECRETS": f"short-one {TOKEN} whsec_%%%",
                "HEADGATE_WEBHOOK_SECRETS_REPLIES": "whsec_c2hvcnQ=",
                "HEADGATE_WEBHOOK_SECRETS_REPLYS": TOKEN,
            },
            DATASETS,
        )
    assert str(told.value) == "\n".join(
        [
            "the secrets of the environment have 4 fault(s):",
            "HEADGATE_WEBHOOK_SECRETS, secret 1: expected a token of at least 24 characters, found 9; make one with `openssl rand -hex 32`",
            "HEADGATE_WEBHOOK_SECRETS, secret 3: expected whsec_ and base64, found something else",
            "HEADGATE_WEBHOOK_SECRETS_REPLIES, secret 1: expected a key of at least 24 bytes, found 5",
            "HEADGATE_WEBHOOK_SECRETS_REPLYS: expected one of HEADGATE_WEBHOOK_SECRETS, HEADGATE_WEBHOOK_SECRETS_REPLIES, "
            "HEADGATE_WEBHOOK_SECRETS_TICKET_TEXTS",
        ]
    )
    assert TOKEN not in repr(read_secrets({"HEADGATE_WEBHOOK_SECRETS": TOKEN}, []))


def test_without_the_variable_there_is_no_secret() -> None:
    assert read_secrets({}, DATASETS) == read_secrets({"HEADGATE_WEBHOOK_SECRETS": "  "}, DATASETS) == []


def test_a_delivery_counts_within_the_window_on_both_sides_of_now() -> None:
    assert is_fresh("1000", 1300, 300)
    assert is_fresh("1000", 700, 300)
    assert not is_fresh("1000", 1301, 300)
    assert not is_fresh("1000", 699, 300)
    for broken in ("", "x", "1e3", "-1000", "\uff11\uff10\uff10\uff10", "9" * 30):
        assert not is_fresh(broken, 1000, 300)
