"""What is read of a mail, and which mail is a machine's."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reply_mails import LANGUAGES, mails

from headgate.model.filters import FilterConfig, Prepared, current_reply, machine_mail, normalise, post_score, pre_score

QUOTED = "> Are you free on Thursday?\n> Kim"


def cases(shared: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shared / "data" / name / "cases.jsonl").read_text(encoding="utf-8").splitlines()]


def holds(case: dict[str, Any]) -> bool:
    reply = current_reply(case["raw"])
    exact = case.get("expected_reply") is None or reply == case["expected_reply"].strip()
    present = all(part in reply for part in case.get("must_contain") or ())
    return exact and present and not any(part in reply for part in case.get("must_not_contain") or ())


def test_every_expectation_of_the_english_reply_parsers_holds(shared: Path) -> None:
    assert [case["id"] for case in cases(shared, "mail_reply_github") if not holds(case)] == []


def test_all_but_one_multilingual_expectation_holds(shared: Path) -> None:
    """The one that fails wants the greeting cut as well."""
    found = cases(shared, "mail_reply_multilingual")
    assert [case["id"] for case in found if not holds(case)] == ["mail_reply_multilingual/0011"]
    assert len(found) == 22


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_ways_of_mail_programs_are_known_in_every_language(language: str) -> None:
    assert [mail for spoken, reply, mail in mails() if spoken == language and current_reply(mail) != reply] == []


def test_texts_without_history_are_left_alone(shared: Path) -> None:
    """One text of 19,050 starts with quotation marks: its writer marks all of it as quoted."""
    files = [*(shared / "data").glob("*/test.jsonl"), shared / "data" / "email_intent_parakweet" / "train.jsonl"]
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    changed = [row["id"] for row in rows if current_reply(row["text"]) != _trimmed(row["text"])]
    assert changed == ["email_intent_parakweet/train/00000"]


def _trimmed(text: str) -> str:
    return "\n".join(line.strip(" \t\u00a0\u200b\ufeff") for line in normalise(text).split("\n"))


@pytest.mark.parametrize(
    "history",
    [
        "On Tue, 3 Mar 2026 at 10:12, Kim Lee <kim@example.com> wrote:\n" + QUOTED,
        "On 3 Mar 2026, at 10:12,\nKim Lee <kim@example.com>\nwrote:\n\n" + QUOTED,
        "Am Di., 3. März 2026 um 10:12 Uhr schrieb Kim Lee <kim@example.com>:\n" + QUOTED,
        "Kim Lee <kim@example.com> schrieb am Di., 3. März 2026, 10:12:\n" + QUOTED,
        "El mar, 3 mar 2026 a las 10:12, Kim Lee (<kim@example.com>) escribió:\n" + QUOTED,
        "Le mar. 3 mars 2026 à 10:12, Kim Lee <kim@example.com> a écrit :\n" + QUOTED,
        "Il giorno mar 3 mar 2026 alle ore 10:12 Kim Lee <kim@example.com> ha scritto:\n" + QUOTED,
        "Op di 3 mrt 2026 om 10:12 schreef Kim Lee <kim@example.com>:\n" + QUOTED,
        "W dniu 3.03.2026 o 10:12, Kim Lee pisze:\n" + QUOTED,
        "wt., 3 mar 2026 o 10:12 Kim Lee <kim@example.com> napisał(a):\n" + QUOTED,
        "Em ter., 3 de mar. de 2026 às 10:12, Kim Lee <kim@example.com> escreveu:\n" + QUOTED,
        "Den tis 3 mars 2026 kl 10:12 skrev Kim Lee <kim@example.com>:\n" + QUOTED,
        "tir. 3. mar. 2026 kl. 10.12 skrev Kim Lee <kim@example.com>:\n" + QUOTED,
        "2026年3月3日(火) 10:12 Kim Lee <kim@example.com>:\n" + QUOTED,
        "Kim Lee <kim@example.com> 于2026年3月3日周二 10:12写道：\n" + QUOTED,  # noqa: RUF001
        "-----Original Message-----\nFrom: Kim Lee\nSent: 3 March 2026 10:12\nSubject: Thursday\n\nAre you free?",
        "-----Ursprüngliche Nachricht-----\nVon: Kim Lee\nGesendet: 3. März 2026\nBetreff: Donnerstag\n\nSind Sie frei?",
        "De : Kim Lee\nEnvoyé : mardi 3 mars 2026\nÀ : Jo\nObjet : jeudi\n\nÊtes-vous libre ?",
        "________________________________\nFrom: Kim Lee <kim@example.com>\nSent: Tuesday\nTo: Jo\n\nAre you free?",
        "*From:* Kim Lee\n*Date:* Tuesday\n\nAre you free?",
        "差出人: Kim Lee\n送信日時: 2026年3月3日\n件名: 木曜日\n\n空いていますか",
    ],
)
def test_quoted_history_is_cut(history: str) -> None:
    assert current_reply(f"Yes, half past two.\n\n{history}\n") == "Yes, half past two."


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nJo Park\nBuyer",
        "Best regards,\nJo Park\nBuyer | Mill & Sons\n+44 20 5550 0100",
        "Mit freundlichen Grüßen\nJo Park",
        "Cordialement,\nJo",
        "Z poważaniem\nJo",
        "Med vänliga hälsningar\nJo",
        "敬具\n朴",
        "Sent from my iPhone",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        "This e-mail is confidential and intended solely for the addressee.",
        "Diese E-Mail enthält vertrauliche Informationen.",
        "/Jo",
    ],
)
def test_signatures_and_disclaimers_are_cut(signature: str) -> None:
    assert current_reply(f"Not this year.\n\n{signature}") == "Not this year."


@pytest.mark.parametrize(
    "text",
    [
        "Thanks, but no thanks.",
        "Thanks",
        "On your remote host you can run:\n\nmake",
        "As I wrote in 2024:\n\nno budget.",
        "Sent from my desk, which is much easier than my phone.",
        "Sent via courier yesterday",
        "Von meinem Chef kommt ein Nein",
        "Hi Kim,\n\nThanks.\n\nCan we talk on Tuesday?",
        "I shall travel.\n\nFrom: Berlin\nTo: Munich\nDate: 3 May\n\nSo not this week.",
        "Three of them:\n----------\nA, B and C.",
        "- one\n- two\n- and a third thing",
        "From: where do you have my address?",
        "Please write to bob@example.com:\nhe decides.",
        "I like it -- a lot -- but not now.",
        "Thank you,\n\nwe have decided against it, since the price has gone up and our people are used to the old one.\n"
        + "more\n" * 20
        + "end",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert current_reply(text) == text


def test_a_postscript_below_the_signature_is_kept() -> None:
    assert (
        current_reply("Yes.\n\nBest regards\nJo Park\n\nP.S. Bring the price list.\n\nMill & Sons") == "Yes.\n\nP.S. Bring the price list."
    )


@pytest.mark.parametrize(
    "closing", ["Thanks,\nJo", "Thanks\n\nJo van den Berg", "Cheers\njo", "Mit freundlichen Grüßen / Kind regards\nJo", "Merci"]
)
def test_thanks_above_a_name_close_a_mail(closing: str) -> None:
    assert current_reply(f"Not this year.\n\n{closing}") == "Not this year."


def test_a_framed_signature_is_cut() -> None:
    assert (
        current_reply("木曜日で問題ございません。\n\n━━━━━━━━━━━━\n株式会社ミル 朴\nTEL 03-5550-0100\n━━━━━━━━━━━━")
        == "木曜日で問題ございません。"
    )


def test_answers_between_quoted_lines_are_kept() -> None:
    mail = "Hi,\nOn Tue, 3 Mar 2026, Kim wrote:\n> Price?\n\nToo high.\n\n> Time?\n\nNext year."
    assert current_reply(mail).split() == ["Hi,", "Too", "high.", "Next", "year."]


def test_a_mail_that_is_all_header_and_text_keeps_its_text() -> None:
    assert current_reply("From: Jo\nSent: today\nSubject: Re: price\n\nSend it.") == "Send it."


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(["> ", "On 1 2 ", "a@b.c", " wrote:", "\n", "From: ", "To:", "--", "Thanks,", "x", "\u200b", "年", "\r"]),
        max_size=60,
    )
)
def test_no_text_breaks_the_filters_and_a_reply_is_never_longer(parts: list[str]) -> None:
    text = "".join(parts)
    assert len(current_reply(text)) <= len(text)
    assert machine_mail({"Subject": text, "From": text, "Auto-Submitted": text}, text) in (None, "auto_reply", "bounce")


@pytest.mark.parametrize(
    "unit",
    [
        "On ",
        "On 1 2 x\n",
        "From: a\n",
        "\n",
        "Am 1.2 x schrieb ",
        "--\n",
        "Best,\n",
        "a:\n",
        "<a@b.c>\n",
        ">",
        "i am ",
        "Sent: a\n",
        "Thanks\n",
        "P.S. ",
        "====\n" * 3,
        "A b ",
    ],
)
def test_hostile_texts_cost_work_in_proportion_to_their_length(unit: str) -> None:
    def calls(size: int) -> int:
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        text = unit * (size // len(unit))
        sys.setprofile(count)
        try:
            pre_score(FilterConfig(), text)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(40_000) <= 4.2 * calls(10_000) + 100


def test_every_public_machine_mail_is_told(shared: Path) -> None:
    found = Counter(
        (case["label"], machine_mail(case["headers"], case["raw"].partition("\n\n")[2])) for case in cases(shared, "mail_auto_sisimai")
    )
    assert found == {("bounce", "bounce"): 409, ("complaint_report", "complaint_report"): 8, ("auto_reply", "auto_reply"): 3}


def test_no_reply_of_a_person_is_taken_for_a_machines(shared: Path) -> None:
    """Of 1,329 example replies 42 are a machine's, all of them labelled `other`; of the public people's mails none is."""
    files = sorted((Path(__file__).parents[2] / "examples" / "replies").glob("*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    caught = Counter(row["label"] for row in rows if machine_mail(row.get("headers"), row["text"]))
    people = [*cases(shared, "mail_reply_github"), *cases(shared, "mail_reply_multilingual")]
    assert (len(rows), caught) == (1413, {"other": 42})
    assert [case["id"] for case in people if machine_mail(None, case["raw"])] == []


@pytest.mark.parametrize(
    ("headers", "text", "reason"),
    [
        ({"Auto-Submitted": "auto-replied"}, "Back on Monday.", "auto_reply"),
        ({"auto-submitted": "AUTO-GENERATED; x=y"}, "Ticket 5 was opened.", "auto_reply"),
        ({"Auto-Submitted": "auto-replied"}, "Delivery has failed to these recipients", "bounce"),
        ({"X-Auto-Response-Suppress": "DR, OOF, AutoReply"}, "Back on Monday.", "auto_reply"),
        ({"X-Autoreply": "yes"}, "Back on Monday.", "auto_reply"),
        ({"Precedence": "auto_reply"}, "Back on Monday.", "auto_reply"),
        ({"X-FC-MachineGenerated": "true"}, "Back on Monday.", "auto_reply"),
        ({"X-POST-MessageClass": "9; Autoresponder"}, "Back on Monday.", "auto_reply"),
        ({"Delivered-To": "Autoresponder"}, "Back on Monday.", "auto_reply"),
        ({"Subject": "Fwd: Undeliverable: offer"}, "Your mail came back, write to sales@example.com.", None),
        ({"Subject": "Automatic reply: your offer"}, "I am out.", "auto_reply"),
        ({"Subject": "Abwesenheitsnotiz: Angebot"}, "Ich bin weg.", "auto_reply"),
        ({"Subject": "Undeliverable: your offer"}, "", "bounce"),
        ({"From": "Mail Delivery Subsystem <MAILER-DAEMON@example.com>"}, "x", "bounce"),
        ({"Content-Type": "multipart/report; report-type=feedback-report"}, "x", "complaint_report"),
        ({"Content-Type": "multipart/report; report-type=disposition-notification"}, "x", "read_receipt"),
        (None, "AUTOMATIC REPLY: I am at a fair.", "auto_reply"),
        (None, "I am out of the office until Monday with limited access to email.", "auto_reply"),
        (None, "I'm out of the office this week, but do call me on Monday.", None),
        (None, "Out of office doesn't even begin to cover it.", None),
        (None, "Your automatic replies annoy us. Stop.", None),
        ({"Auto-Submitted": "no", "Subject": "Re: Automatic reply: hello", "Precedence": "list"}, "Yes, call me.", None),
        ({"X-Auto-Response-Suppress": "None", "Return-Path": "<jo@example.com>"}, "Yes, call me.", None),
    ],
)
def test_machine_mail(headers: dict[str, str] | None, text: str, reason: str | None) -> None:
    assert machine_mail(headers, text) == reason


def test_screening_says_why_a_message_is_not_read() -> None:
    config = FilterConfig(max_characters=10)
    assert pre_score(config, "Hello\r\n") == Prepared("Hello")
    assert pre_score(config, " \n\t") == Prepared("", "empty")
    assert pre_score(config, "> all of it quoted") == Prepared("", "empty")
    assert pre_score(config, "eleven char") == Prepared("", "too_long")
    assert pre_score(config, "short\n> " + "long quote " * 100) == Prepared("short")
    assert pre_score(config, "gone", {"Auto-Submitted": "auto-replied"}) == Prepared("", "auto_reply")


def test_filters_that_are_off_do_nothing() -> None:
    config = FilterConfig(current_reply=False, machine_mail=False, min_confidence=0.0)
    assert pre_score(config, "a\n> b", {"Auto-Submitted": "auto-replied"}) == Prepared("a\n> b")
    assert post_score(config, 0.01) is None


def test_low_scores_are_not_trusted() -> None:
    assert post_score(FilterConfig(min_confidence=0.5), 0.49) == "low_confidence"
    assert post_score(FilterConfig(min_confidence=0.5), 0.5) is None
    assert post_score(FilterConfig(min_confidence=0.5), 0.9, out_of_scope=True) == "out_of_scope"


def test_one_kind_of_line_end() -> None:
    assert normalise(" a\r\nb\rc \n") == "a\nb\nc"
