"""Who may post annotations: shared secrets, as bearer tokens or as keys of signed deliveries; several at a time, to change them.

A signed delivery follows Standard Webhooks 1.0 (<https://www.standardwebhooks.com>), as Argilla sends it: HMAC-SHA256 over
`<webhook-id>.<webhook-timestamp>.<body>`, in base64 after `v1,`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from headgate.errors import BadSettings

VARIABLE = "HEADGATE_WEBHOOK_SECRETS"
SIGNING = "whsec_"
MIN_TOKEN = 24
MIN_KEY_BYTES = 24
Verdict = Literal["allowed", "elsewhere", "unknown"]


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A token, or the key of a signature; `dataset` is empty where it opens all data sets."""

    value: bytes
    signs: bool
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class SignedHeaders:
    """The three headers of a signed delivery."""

    id: str
    timestamp: str
    signature: str


def read_secrets(environ: Mapping[str, str], datasets: Iterable[str]) -> list[Secret]:
    """The secrets of the environment: HEADGATE_WEBHOOK_SECRETS for all data sets, with `_<DATA SET>` for one; BadSettings has all faults.

    Several are separated by white space or commas. A secret that begins with whsec_ is the key of a signature, any other a token.
    """
    scopes = {VARIABLE: "", **{f"{VARIABLE}_{name.upper().replace('-', '_')}": name for name in datasets}}
    faults: list[str] = []
    found: list[Secret] = []
    for variable, dataset in scopes.items():
        for number, text in enumerate(re.split(r"[\s,]+", environ.get(variable, "").strip()), 1):
            if not text:
                continue
            secret, fault = _secret(text, dataset)
            found += [secret] if secret else []
            faults += [f"{variable}, secret {number}: {fault}"] if fault else []
    if unknown := sorted(name for name in environ if name.startswith(f"{VARIABLE}_") and name not in scopes):
        faults.append(f"{', '.join(unknown)}: expected one of {', '.join(sorted(scopes))}")
    if faults:
        raise BadSettings("\n".join([f"the secrets of the environment have {len(faults)} fault(s):", *faults]))
    return found


def judge_token(secrets: Iterable[Secret], dataset: str, given: str) -> Verdict:
    """Whether a token opens a data set, opens another one only, or opens none; compared in constant time."""
    presented = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    return _verdict(
        [one for one in secrets if not one.signs and hmac.compare_digest(hashlib.sha256(one.value).digest(), presented)], dataset
    )


def judge_signature(secrets: Iterable[Secret], dataset: str, headers: SignedHeaders, body: bytes) -> Verdict:
    """Whether a key that opens the data set signed exactly this id, time and body; compared in constant time."""
    signed = f"{headers.id}.{headers.timestamp}.".encode("utf-8", "surrogateescape") + body
    given = [part.removeprefix("v1,") for part in headers.signature.split() if part.startswith("v1,")]
    return _verdict([one for one in secrets if one.signs and _signed(one.value, signed, given)], dataset)


def sign(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature header of a delivery, for tools of one's own and for tests."""
    digest = hmac.new(_key(key), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def is_fresh(timestamp: str, now_s: float, window_s: int) -> bool:
    """Whether the delivery was signed within the replay window, before or after now."""
    return bool(re.fullmatch(r"[0-9]{1,12}", timestamp)) and abs(now_s - int(timestamp)) <= window_s


def _signed(key: bytes, signed: bytes, given: list[str]) -> bool:
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    return any(hmac.compare_digest(expected, one.encode("utf-8", "surrogateescape")) for one in given)


def _verdict(matching: list[Secret], dataset: str) -> Verdict:
    if any(one.dataset in ("", dataset) for one in matching):
        return "allowed"
    return "elsewhere" if matching else "unknown"


def _secret(text: str, dataset: str) -> tuple[Secret | None, str]:
    if not text.startswith(SIGNING):
        short = len(text) < MIN_TOKEN
        return None if short else Secret(text.encode(), False, dataset), (
            f"expected a token of at least {MIN_TOKEN} characters, found {len(text)}; make one with `openssl rand -hex 32`" if short else ""
        )
    try:
        key = _key(text)
    except (binascii.Error, ValueError):
        return None, "expected whsec_ and base64, found something else"
    if len(key) < MIN_KEY_BYTES:
        return None, f"expected a key of at least {MIN_KEY_BYTES} bytes, found {len(key)}"
    return Secret(key, True, dataset), ""


def _key(text: str) -> bytes:
    bare = text.removeprefix(SIGNING)
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
