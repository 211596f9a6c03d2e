"""Notices to a Slack-compatible webhook, posted to a real HTTP server."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from made_up_release import NOW, POLICY, RELEASE, YES
from pydantic import SecretStr

from headgate.errors import BadSettings, Unavailable
from headgate.release.approval import decide
from headgate.release.notice import decided_text, send, waiting_text
from headgate.settings import Notice, Settings

SHORT = RELEASE.id[:12]


class Webhook(BaseHTTPRequestHandler):
    """Takes messages at /hook, and nothing anywhere else."""

    taken: list[tuple[str, dict]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/slow":
            self.server.shutdown_request(self.request)
            return
        self.taken.append((self.headers["Content-Type"], body))
        self.send_response(200 if self.path == "/hook" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def webhook() -> Iterator[str]:
    Webhook.taken = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _notice(url: str) -> Notice:
    return Notice(webhook_url=SecretStr(url))


def test_a_message_reaches_the_webhook_as_slack_takes_it(webhook):
    assert send(_notice(f"{webhook}/hook"), "replies: hello") is True
    assert Webhook.taken == [("application/json", {"text": "replies: hello"})]


def test_without_an_address_nothing_is_sent():
    assert send(Notice(), "hello") is False


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/secret-path", "expected the webhook to take a message, it answered 404"),
        ("/slow", "expected an answer within 5 s, found RemoteDisconnected"),
    ],
)
def test_a_webhook_that_refuses_is_told_without_its_address(webhook, path, said):
    with pytest.raises(Unavailable) as fault:
        send(_notice(f"{webhook}{path}"), "hello")
    assert str(fault.value) == f"notice.webhook_url: {said}"


def test_nobody_at_the_address_is_told_without_it(webhook):
    with pytest.raises(Unavailable, match=r"^notice\.webhook_url: expected an answer within 5 s, found URLError$"):
        send(_notice("http://127.0.0.1:9/secret"), "hello")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hooks.example.com/secret", "http://[secret", ""])
def test_an_address_that_is_no_web_address_is_refused_and_not_shown(url):
    with pytest.raises(BadSettings) as fault:
        send(_notice(url), "hello")
    assert str(fault.value) == "notice.webhook_url: expected an http:// or https:// address, found another (a secret, not shown)"


def test_the_address_comes_from_the_environment_and_is_not_printed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_NOTICE__WEBHOOK_URL", "https://hooks.example.com/secret")
    notice = Settings().notice
    assert notice.webhook_url is not None
    assert notice.webhook_url.get_secret_value() == "https://hooks.example.com/secret"
    assert "hooks.example.com" not in repr(notice)


def test_a_waiting_release_says_how_to_answer():
    assert waiting_text(RELEASE, "http://127.0.0.1:4300/e?a=1&b=2", 1) == (
        f"replies: release {SHORT} passed its tests and waits for approval. Evidence: http://127.0.0.1:4300/e?a=1&amp;b=2\n"
        f'Answer: headgate approve {SHORT} --as you@example.com --reason "..." --key ~/.ssh/id_ed25519 (or headgate reject)'
    )
    assert "--key" not in waiting_text(RELEASE, "", 0)


def test_a_decision_says_who_and_why_and_cannot_call_everybody():
    decision = decide(YES.model_copy(update={"reason": "<!channel> good & ready"}), RELEASE, NOW, POLICY)
    assert decided_text(RELEASE, decision) == (
        f"replies: release {SHORT} was approved by grace@example.com: &lt;!channel&gt; good &amp; ready"
    )
