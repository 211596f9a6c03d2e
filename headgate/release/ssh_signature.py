"""SSH signatures, made and checked by OpenSSH's own `ssh-keygen -Y` (PROTOCOL.sshsig), in the namespace `headgate`.

The private key stays with its owner or in an ssh-agent; who may sign is in an `allowed_signers` file (see ssh-keygen(1)).
"""

import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from shutil import which

from headgate.errors import BadInput, Refused, Unavailable

NAMESPACE = "headgate"
ANSWER_S = 30
# An identity is an argument of ssh-keygen and is matched against patterns: no leading dash, no spaces, commas, quotes or wildcards.
IDENTITY = re.compile(r"\w[\w.+@:/=%'-]{0,253}")


def checked_identity(identity: str) -> str:
    """The identity itself; BadInput unless it can be a principal of an allowed_signers file."""
    if not IDENTITY.fullmatch(identity):
        raise BadInput(f"expected who signs as a plain name such as you@example.com, found {identity!r}")
    return identity


def sign(message: bytes, key: Path) -> str:
    """The armoured signature of a message by a private key, or by the ssh-agent's where `key` is the public file.

    ssh-keygen asks for a passphrase on the terminal itself. BadInput says why it could not sign.
    """
    program, key = _program(), key.expanduser().absolute()
    if not key.is_file():
        raise BadInput(f"{key}: expected an SSH key, found no file; `ssh-keygen -t ed25519` makes one")
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        file = Path(folder) / "message"
        file.write_bytes(message)
        command = [program, "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(file)]
        # On a terminal its words reach the person at once: a security key says when to touch it.
        done = subprocess.run(command, stderr=None if sys.stderr.isatty() else subprocess.PIPE, stdout=subprocess.DEVNULL)
        signature = file.with_suffix(".sig")
        if done.returncode or not signature.is_file():
            raise BadInput(f"{key}: expected a key that can sign, ssh-keygen refused{_told(done.stderr)}{_advice(done.stderr)}")
        return signature.read_text()


def verify(message: bytes, signature: str, identity: str, allowed_signers: Path, at: datetime | None = None) -> str:
    """Fingerprint of the key that made the signature; Refused unless the file lists that key for this identity.

    `at` is the time for which `valid-after` and `valid-before` are judged: now, if left out.
    """
    program, moment = _program(), (at or datetime.now(UTC)).astimezone(UTC)
    if not allowed_signers.is_file():
        raise Refused(
            f"approval.allowed_signers: expected the file {allowed_signers}, found none; it has one line a person: "
            f'you@example.com namespaces="{NAMESPACE}" ssh-ed25519 AAAA...'
        )
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        file = Path(folder) / "signature"
        file.write_text(signature)
        command = [program, "-Y", "verify", "-n", NAMESPACE, "-f", str(allowed_signers.absolute()), "-I", identity]
        command += ["-s", str(file), f"-Overify-time={moment:%Y%m%d%H%M%SZ}"]
        try:
            done = subprocess.run(command, input=message, capture_output=True, timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"ssh-keygen: expected a verification within {ANSWER_S} s, found none; try again") from None
    found = re.search(rb"\bSHA256:\S+", done.stdout)
    if done.returncode or not found:
        raise Refused(
            f"{identity}: expected a signature by a key that {allowed_signers} lists for {identity}, found none{_told(done.stderr)}"
        )
    return found[0].decode()


def _program() -> str:
    if (found := which("ssh-keygen")) is None:
        raise Refused("expected the program ssh-keygen, found none on PATH; install it (Debian and Ubuntu: apt install openssh-client)")
    return found


def _told(said: bytes | None) -> str:
    """What ssh-keygen said, on one line, without its frames."""
    lines = [line.strip() for line in (said or b"").decode(errors="replace").splitlines()]
    kept = [line for line in lines if line and not line.startswith("@")]
    return f" ({'; '.join(kept)})" if kept else ""


def _advice(said: bytes | None) -> str:
    told = said or b""
    if b"too open" in told:
        return "; make it readable for you alone: chmod 600"
    if b"passphrase" in told:
        return "; run it on a terminal that can ask for the passphrase, or add the key to an ssh-agent and give its .pub file"
    return ""
