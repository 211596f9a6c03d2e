"""A bundle is deployed where it is signed with the key that is expected, and nowhere else."""

import shutil
from pathlib import Path

import minisign
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from deployments.target import Revision
from headgate.cli import app
from headgate.errors import BadInput, Refused
from headgate.model.bundle import open_bundle, signature_beside
from headgate.model.signing import sign_bundle, sign_digest, verify_digest
from headgate.settings import Signing, load_settings

DIGEST = "ab" * 32


def keys(folder: Path, name: str = "release", password: str | None = None) -> Signing:
    pair = minisign.KeyPair.generate()
    if password:
        pair.secret_key.encrypt(password, opslimit=32768, memlimit=1 << 24)
    (folder / f"{name}.key").write_bytes(bytes(pair.secret_key))
    (folder / f"{name}.pub").write_bytes(bytes(pair.public_key))
    return Signing(secret_key=folder / f"{name}.key", public_key=folder / f"{name}.pub")


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return keys(tmp_path)


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def refusal(signature: str | None, public_key: Path | None, kind: str = "bundle", digest: str = DIGEST) -> str:
    assert public_key is not None
    with pytest.raises(Refused) as refused:
        verify_digest(kind, digest, signature, public_key)  # type: ignore[arg-type]
    return str(refused.value)


def test_what_was_signed_is_verified_and_signing_again_gives_the_same(signing: Signing) -> None:
    signature = sign_digest("bundle", DIGEST, signing)
    assert signing.public_key is not None
    verify_digest("bundle", DIGEST, signature, signing.public_key)
    assert sign_digest("bundle", DIGEST, signing) == signature


def test_a_missing_signature_is_refused_with_what_makes_one(signing: Signing) -> None:
    expected = f"bundle abababababab: expected a signature by {signing.public_key}, found none; "
    assert refusal(None, signing.public_key) == expected + "`headgate sign` makes one where the secret key is"


@pytest.mark.parametrize(("kind", "digest"), [("bundle", "cd" * 32), ("image", DIGEST)])
def test_a_signature_of_something_else_is_refused(signing: Signing, kind: str, digest: str) -> None:
    told = refusal(sign_digest("bundle", DIGEST, signing), signing.public_key, kind, digest)
    assert told.endswith(
        f"expected a signature by {signing.public_key}, found another (signature verification failed); sign it with that key"
    )


def test_a_signature_by_another_key_is_refused(signing: Signing, tmp_path: Path) -> None:
    told = refusal(sign_digest("bundle", DIGEST, keys(tmp_path, "other")), signing.public_key)
    assert "found another (incompatible key identifiers)" in told


@pytest.mark.parametrize("change", [lambda text: "", lambda text: text.replace("trusted", "t"), lambda text: text[:80]])
def test_a_file_that_is_no_signature_is_refused(signing: Signing, change) -> None:  # type: ignore[no-untyped-def]
    told = refusal(change(sign_digest("bundle", DIGEST, signing)), signing.public_key)
    assert f"expected a signature by {signing.public_key}, found no minisign signature (" in told


def test_a_key_with_a_password_needs_it(tmp_path: Path) -> None:
    locked = keys(tmp_path, password="correct horse")
    with pytest.raises(BadInput) as refused:
        sign_digest("bundle", DIGEST, locked)
    assert str(refused.value).endswith("; expected its password in HEADGATE_SIGNING__PASSWORD")
    given = locked.model_copy(update={"password": SecretStr("correct horse")})
    verify_digest("bundle", DIGEST, sign_digest("bundle", DIGEST, given), tmp_path / "release.pub")


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected \[signing\] secret_key in headgate.toml, found none; `minisign -G` makes a key pair"):
        sign_digest("bundle", DIGEST, Signing())
    with pytest.raises(BadInput, match=r"none.key: expected a minisign key, found none that can be read"):
        sign_digest("bundle", DIGEST, Signing(secret_key=tmp_path / "none.key"))


def test_the_signature_lies_beside_the_bundle_and_leaves_its_digest_alone(copy: Path, signing: Signing) -> None:
    before = open_bundle(copy).digest
    assert sign_bundle(copy, signing) == copy.parent / "bundle.minisig"
    assert open_bundle(copy).digest == before
    assert signing.public_key is not None
    verify_digest("bundle", before, signature_beside(copy), signing.public_key)


def test_a_bundle_deployed_by_hand_brings_the_signature_beside_it(copy: Path, signing: Signing) -> None:
    assert Revision.adhoc(copy).signature is None
    sign_bundle(copy, signing)
    assert Revision.adhoc(copy).signature == (copy.parent / "bundle.minisig").read_text()


def test_the_commands_sign_and_verify(copy: Path, signing: Signing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = tmp_path / "headgate.toml"
    toml.write_text(f'[signing]\nsecret_key = "{signing.secret_key}"\npublic_key = "{signing.public_key}"\n')
    monkeypatch.setenv("HEADGATE_TOML", str(toml))
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()
    run, image = CliRunner().invoke, f"sha256:{DIGEST}"
    unsigned = run(app, ["verify", str(copy)])
    assert isinstance(unsigned.exception, Refused)
    assert run(app, ["sign", str(copy)]).output == f"signed: {tmp_path / 'bundle.minisig'}\n"
    digest = open_bundle(copy).digest
    verified = f"bundle {digest}, commit c0ffee: every file is as it was written\nbundle {digest[:12]} is signed by {signing.public_key}\n"
    assert run(app, ["verify", str(copy)]).output == verified
    assert run(app, ["sign", "--image", image, "--out", str(tmp_path / "i.minisig")]).exit_code == 0
    told = run(app, ["verify", "--image", image, "--signature", str(tmp_path / "i.minisig")]).output
    assert told == f"image abababababab is signed by {signing.public_key}\n"
    assert run(app, ["sign", "--image", image]).output == "signed: image-abababababab.minisig\n"
    assert run(app, ["verify", "--image", image]).output == told
    (tmp_path / "bundle.minisig").write_bytes(b"\xff\xfe damaged")
    assert "found no minisign signature (" in str(run(app, ["verify", str(copy)]).exception)
    load_settings.cache_clear()


@pytest.mark.parametrize("command", ["sign", "verify"])
def test_a_bundle_and_an_image_at_once_are_refused(bundle: Path, command: str) -> None:
    told = CliRunner().invoke(app, [command, "--image", f"sha256:{DIGEST}", str(bundle)]).exception
    assert isinstance(told, BadInput)
    assert str(told) == (f"expected one of a bundle folder and --image, found both ({bundle} and sha256:{DIGEST}); give one at a time")
