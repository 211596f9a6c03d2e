"""A whole message becomes its text and its headers, however it is written and whoever wrote it."""

import json
import sys
from base64 import b64encode
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import BadInput
from headgate.model.filters import current_reply, machine_mail
from headgate.model.mail_html import html_text
from headgate.model.raw_mail import MAX_DEPTH, read_mail


def cases(shared: Path, name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (shared / "data" / name / "cases.jsonl").read_text(encoding="utf-8").splitlines()]


def mail(body: str, *headers: str) -> str:
    return "\n".join(["From: Jo <jo@example.com>", *headers, "", body])


def test_each_of_the_public_machine_mails_is_known_from_the_raw_message(shared: Path) -> None:
    """409 bounces, 8 reports and 3 automatic replies; the headers come from the message itself."""
    told = [(case["label"], *read_mail(case["raw"])) for case in cases(shared, "mail_auto_sisimai")]
    assert [(label, headers.get("Subject")) for label, text, headers in told if machine_mail(headers, text) != label] == []
    assert len(told) == 420


@pytest.mark.parametrize("name", ["mail_reply_github", "mail_reply_multilingual"])
def test_people_s_mails_are_read_as_they_are_and_are_nobodys_machine(shared: Path, name: str) -> None:
    for case in cases(shared, name):
        text, headers = read_mail(mail(case["raw"], "Content-Type: text/plain; charset=utf-8", "Auto-Submitted: no"))
        assert current_reply(text) == current_reply(case["raw"])
        assert machine_mail(headers, text) is None


def test_headers_are_decoded_and_equal_ones_joined() -> None:
    text, headers = read_mail(
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?b?5A==?=\r\nReceived: a\r\nreceived: b\r\nX-Long: one\r\n\ttwo\r\n\r\nHello\r\n"
    )
    assert headers == {"Subject": "Grüßeä", "Received": "a, b", "X-Long": "one two"}
    assert text == "Hello"


def test_the_plain_part_is_preferred_and_attachments_are_left_out() -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "jo@example.com", "Angebot"
    message.set_content("Ja, gern.\n", charset="iso-8859-1")
    message.add_alternative("<p>Yes in <b>HTML</b></p>", subtype="html")
    message.add_attachment("not this", filename="terms.txt")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf")
    assert read_mail(bytes(message))[0] == "Ja, gern."
    assert read_mail(message.as_string())[0] == "Ja, gern."


def test_html_alone_becomes_text_with_its_history_marked() -> None:
    html = (
        "<html><head><style>p {color: red}</style><title>no</title></head><body><p>Yes,&nbsp;Thursday &amp; Friday.</p>"
        "<div>Best regards<br>Jo</div><div class='gmail_quote'>On Tue, 3 Mar 2026 at 10:12, Kim &lt;kim@example.com&gt; wrote:"
        "<blockquote><p>When?</p><div>Kim</div></blockquote></div><!-- no --></body></html>"
    )
    text = read_mail(mail(html, "Content-Type: text/html; charset=utf-8"))[0]
    assert text.splitlines()[0] == "Yes, Thursday & Friday."
    assert "> When?" in text
    assert "color" not in text
    assert "no" not in text
    assert current_reply(text) == "Yes, Thursday & Friday."


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        (["Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable"], "gr=FC=DFe", "grüße"),
        (["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64"], b64encode("grüße".encode()).decode(), "grüße"),
        (["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64"], "Z3LDvMOfZQ", "grüße"),
        (['Content-Type: text/plain; charset="no-such"'], "grüße", "grüße"),
        (["Content-Type: text/plain; charset=punycode"], "a-" + "b" * 9, "a-" + "b" * 9),
        (["Content-Type: text/plain; charset=zlib"], "text", "text"),
        (["Content-Type: multipart/mixed"], "no boundary", "no boundary"),
        (["Content-Type: multipart/mixed; boundary=b"], "preamble\n--b\n\nfirst\n--b\n\nnever closed", "first\nnever closed"),
        (["Content-Type: multipart/mixed; boundary=b"], "--b\nno header, no empty line\n--b--\n", "no header, no empty line"),
        (["Content-Type: application/pdf"], "%PDF", ""),
        (["Content-Type: ;;;="], "odd", "odd"),
        (["Content-Type: text/html"], "<p>" + "&#" + "9" * 5000 + "; ok", "ok"),
    ],
)
def test_odd_bodies_are_read_as_far_as_they_can_be(headers: list[str], body: str, text: str) -> None:
    assert read_mail(mail(body, *headers))[0] == text


def test_bytes_that_fit_no_charset_are_read() -> None:
    assert read_mail(b"Subject: gr\xfc\xdfe\n\ngr\xfc\xdfe") == ("grüße", {"Subject": "grüße"})


@pytest.mark.parametrize("raw", ["", " \n", "Yes, Thursday works.", "\x00", b"\xff\xfe"])
def test_what_is_no_mail_is_told_so(raw: str | bytes) -> None:
    with pytest.raises(BadInput, match=r"^expected an RFC 5322 message that starts with a header such as 'From: \.\.\.', found .*; send a"):
        read_mail(raw)


def test_parts_nested_too_deep_are_not_read() -> None:
    def nested(depth: int) -> str:
        body = "deep"
        for level in range(depth):
            body = f'Content-Type: multipart/mixed; boundary="b{level}"\n\n--b{level}\n{body if level else chr(10) + body}\n--b{level}--'
        return body

    assert read_mail(nested(MAX_DEPTH))[0] == "deep"
    assert read_mail(nested(MAX_DEPTH + 1))[0] == ""
    assert read_mail(nested(3000))[0] == ""


FRAGMENTS = [
    "\n",
    "\r\n\r\n",
    "--b",
    "--b--",
    "Content-Type: multipart/mixed; boundary=b\n",
    "Content-Type: text/html; charset=gb2312\n",
    "Content-Transfer-Encoding: base64\n",
    "Subject: =?utf-8?b?=",
    "=?",
    "<div",
    "<!--",
    "-->",
    "&#x110000;",
    "\ud800",
    "é",
    "From: a\n",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60))
def test_no_mail_breaks_the_reader(parts: list[str]) -> None:
    text, headers = read_mail("A: b\n" + "".join(parts))
    assert isinstance(text, str)
    assert all(isinstance(value, str) for value in headers.values())


@pytest.mark.parametrize(
    "unit", ["<a ", "<!--", "<![", '<a b="', "</", "&a", "<p>", "--b\n", "--b\nContent-Type: multipart/mixed; boundary=b\n\n"]
)
@pytest.mark.parametrize("kind", ["text/html", "multipart/mixed; boundary=b"])
def test_hostile_mails_cost_work_in_proportion_to_their_length(unit: str, kind: str) -> None:
    def calls(size: int) -> int:
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        raw = mail(unit * (size // len(unit)), f"Content-Type: {kind}")
        sys.setprofile(count)
        try:
            read_mail(raw)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(40_000) <= 4.2 * calls(10_000) + 200


def test_html_keeps_the_order_and_the_lines_of_what_is_seen() -> None:
    assert (
        html_text("a<br>b<p>c</p><ul><li>d<li>e</ul><table><tr><td>f<td>g</tr></table>5 < 6 > 4") == "a\nb\n\nc\n\nd\ne\n\nf g\n\n5 < 6 > 4"
    )
    assert html_text("<blockquote>one<blockquote>two</blockquote>three</blockquote>four") == "> one\n\n> two\n\n> three\n\nfour"
