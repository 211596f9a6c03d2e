"""Messages about releases to a Slack-compatible webhook: what they say, and sending one."""

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from headgate.errors import BadSettings, Unavailable
from headgate.release.approval import Decision
from headgate.release.record import Release
from headgate.settings import Notice

VERBS = {"approve": "approved", "reject": "rejected"}


def waiting_text(release: Release, evidence: str, signatures: int) -> str:
    """That a release waits, with the evidence and how to answer."""
    key = " --key ~/.ssh/id_ed25519" if signatures else ""
    return (
        f"{_escaped(release.model)}: release {release.id[:12]} passed its tests and waits for approval. Evidence: {_escaped(evidence)}\n"
        f'Answer: headgate approve {release.id[:12]} --as you@example.com --reason "..."{key} (or headgate reject)'
    )


def decided_text(release: Release, decision: Decision) -> str:
    """Who decided what, and why."""
    said = f"{VERBS[decision.decision]} by {decision.approver}: {decision.reason}"
    return f"{_escaped(release.model)}: release {release.id[:12]} was {_escaped(said)}"


def watch_text(words: str, page: str) -> str:
    """What changed in production, with the page that shows it."""
    return f"{_escaped(words)}\n{_escaped(page)}"


def send(notice: Notice, text: str) -> bool:
    """Post a message; False where no webhook is set. Unavailable or BadSettings says why it was not taken, never the address, a secret."""
    if notice.webhook_url is None:
        return False
    url = notice.webhook_url.get_secret_value()
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError
        request = urllib.request.Request(url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=notice.timeout_s):  # noqa: S310 - checked above
            return True
    except urllib.error.HTTPError as fault:
        raise Unavailable(f"notice.webhook_url: expected the webhook to take a message, it answered {fault.code}") from None
    except (OSError, HTTPException) as fault:
        raise Unavailable(f"notice.webhook_url: expected an answer within {notice.timeout_s:g} s, found {type(fault).__name__}") from None
    except ValueError:
        raise BadSettings("notice.webhook_url: expected an http:// or https:// address, found another (a secret, not shown)") from None


def _escaped(text: str) -> str:
    """As Slack asks: three characters are its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
