"""Signatures of bundles and images with a minisign key pair: who made what is about to be deployed.

A signature is over one line, `headgate-bundle sha256:DIGEST` or `headgate-image sha256:DIGEST`, so that neither passes for the other, and
the `minisign` program makes and checks it too. It lies beside the bundle, never in it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import minisign

from headgate.errors import BadInput, Refused
from headgate.model.bundle import open_bundle, signature_file
from headgate.settings import Signing

Kind = Literal["bundle", "image"]
Key = TypeVar("Key", minisign.SecretKey, minisign.PublicKey)


def sign_digest(kind: Kind, digest: str, signing: Signing) -> str:
    """The signature of a digest, as minisign writes it to a file; BadInput where the secret key cannot be used."""
    if signing.secret_key is None:
        raise BadInput("expected [signing] secret_key in headgate.toml, found none; `minisign -G` makes a key pair")
    key = _read(signing.secret_key, minisign.SecretKey.from_file)
    try:
        if key.is_encrypted():
            key.decrypt(signing.password.get_secret_value() if signing.password else "")
    except minisign.Error as fault:
        raise BadInput(f"{signing.secret_key}: {fault}; expected its password in HEADGATE_SIGNING__PASSWORD") from None
    with key:
        told = f"headgate {kind} sha256:{digest}"
        return bytes(key.sign(_message(kind, digest), untrusted_comment=told, trusted_comment=told)).decode()


def verify_digest(kind: Kind, digest: str, signature: str | None, public_key: Path) -> None:
    """Refused unless the signature is of this digest and by this key."""
    subject = f"{kind} {digest[:12]}"
    if signature is None:
        raise Refused(f"{subject}: expected a signature by {public_key}, found none; `headgate sign` makes one where the secret key is")
    key = _read(public_key, minisign.PublicKey.from_file)
    try:
        told = minisign.Signature.from_bytes(signature.encode())
    except minisign.Error as fault:
        raise Refused(f"{subject}: expected a signature by {public_key}, found no minisign signature ({fault}); sign it again") from None
    try:
        key.verify(_message(kind, digest), told)
    except minisign.Error as fault:
        raise Refused(f"{subject}: expected a signature by {public_key}, found another ({fault}); sign it with that key") from None


def sign_bundle(bundle: Path, signing: Signing) -> Path:
    """Sign a bundle folder; the signature lies beside it and replaces an older one."""
    file = signature_file(bundle)
    file.write_text(sign_digest("bundle", open_bundle(bundle).digest, signing), encoding="utf-8")
    return file


def _message(kind: Kind, digest: str) -> bytes:
    return f"headgate-{kind} sha256:{digest}\n".encode()


def _read(file: Path, read: Callable[[Path], Key]) -> Key:
    try:
        return read(file)
    except (OSError, minisign.Error) as fault:
        raise BadInput(f"{file}: expected a minisign key, found none that can be read: {fault}") from None
