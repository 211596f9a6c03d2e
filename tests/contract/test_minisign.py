"""What `headgate sign` writes is what the program minisign reads, and the other way round."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from headgate.errors import Refused
from headgate.model.signing import sign_digest, verify_digest
from headgate.settings import Signing

pytestmark = pytest.mark.image

DIGEST = "ab" * 32


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    """A key pair that the program made, beside the line that is signed."""
    if shutil.which("minisign") is None:
        message = "expected the program minisign, found none; apt-get install minisign"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    (tmp_path / "line").write_text(f"headgate-bundle sha256:{DIGEST}\n")
    subprocess.run(["minisign", "-G", "-W", "-p", "release.pub", "-s", "release.key"], cwd=tmp_path, check=True, capture_output=True)
    return Signing(secret_key=tmp_path / "release.key", public_key=tmp_path / "release.pub")


def test_the_program_verifies_our_signature_and_refuses_that_of_an_image(signing: Signing, tmp_path: Path) -> None:
    command = ["minisign", "-V", "-p", "release.pub", "-m", "line", "-x", "ours.minisig"]
    (tmp_path / "ours.minisig").write_text(sign_digest("bundle", DIGEST, signing))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "ours.minisig").write_text(sign_digest("image", DIGEST, signing))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode != 0


def test_we_verify_the_signature_of_the_program(signing: Signing, tmp_path: Path) -> None:
    command = ["minisign", "-S", "-s", "release.key", "-m", "line", "-x", "theirs.minisig"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, input=b"\n")
    signature = (tmp_path / "theirs.minisig").read_text()
    assert signing.public_key is not None
    verify_digest("bundle", DIGEST, signature, signing.public_key)
    with pytest.raises(Refused):
        verify_digest("image", DIGEST, signature, signing.public_key)
