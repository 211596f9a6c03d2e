"""`headgate sign` and `headgate verify`: who made a bundle or an image."""

import re
from pathlib import Path
from typing import Annotated

import typer

from headgate.errors import BadInput
from headgate.settings import Signing, load_settings

BundleFolder = Annotated[
    Path | None, typer.Argument(help="folder that `headgate wrap` wrote", exists=True, file_okay=False, show_default=False)
]
ImageDigest = Annotated[str | None, typer.Option(help="digest of an image as its registry has it: sha256:...", show_default=False)]


def sign(
    bundle: BundleFolder = None,
    image: ImageDigest = None,
    out: Annotated[Path | None, typer.Option(help="file for an image's signature", show_default="image-DIGEST.minisig")] = None,
) -> None:
    """Sign a bundle or an image digest with the secret key that headgate.toml names.

    \b
    headgate sign out/bundle
    headgate sign --image sha256:3f9a1c...
    """
    from headgate.model.signing import sign_bundle, sign_digest

    _check_one(bundle, image)
    signing = load_settings().signing
    if bundle is not None:
        typer.echo(f"signed: {sign_bundle(bundle, signing)}")
        return
    digest = _digest(image)
    file = out or _image_signature(digest)
    file.write_text(sign_digest("image", digest, signing), encoding="utf-8")
    typer.echo(f"signed: {file}")


def verify(
    bundle: BundleFolder = None,
    image: ImageDigest = None,
    signature: Annotated[
        Path | None, typer.Option(help="the signature", show_default="beside the bundle, or image-DIGEST.minisig", exists=True)
    ] = None,
) -> None:
    """Verify every file of a bundle, and the signature of a bundle or an image where headgate.toml names a public key.

    \b
    headgate verify out/bundle
    headgate verify --image sha256:3f9a1c...
    """
    from headgate.model.bundle import open_bundle, signature_beside

    _check_one(bundle, image)
    signing = load_settings().signing
    if bundle is None:
        digest = _digest(image)
        file = signature or _image_signature(digest)
        typer.echo(_verified("image", digest, _text(file) if file.is_file() else None, signing))
        return

    found = open_bundle(bundle)
    told = _text(signature) if signature else signature_beside(bundle)
    typer.echo(f"bundle {found.digest}, commit {found.provenance.get('commit') or 'unknown'}: every file is as it was written")
    typer.echo(_verified("bundle", found.digest, told, signing))


def _verified(kind: str, digest: str, signature: str | None, signing: Signing) -> str:
    from headgate.model.signing import verify_digest

    if signing.public_key is None:
        return "signature not checked: headgate.toml has no [signing] public_key"
    verify_digest("image" if kind == "image" else "bundle", digest, signature, signing.public_key)
    return f"{kind} {digest[:12]} is signed by {signing.public_key}"


def _check_one(bundle: Path | None, image: str | None) -> None:
    if bundle is not None and image is not None:
        raise BadInput(f"expected one of a bundle folder and --image, found both ({bundle} and {image}); give one at a time")


def _image_signature(digest: str) -> Path:
    return Path(f"image-{digest[:12]}.minisig")


def _text(file: Path) -> str:
    """What a signature file says; bytes that are no text make it one that is damaged."""
    return file.read_text(encoding="utf-8", errors="replace")


def _digest(image: str | None) -> str:
    if image is None or not re.fullmatch(r"sha256:[0-9a-f]{64}", image):
        raise BadInput(f"expected a bundle folder, or --image sha256: and 64 hex digits, found {image or 'neither'}")
    return image.removeprefix("sha256:")
