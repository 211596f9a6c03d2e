"""The messages whose answers every bundle records; the endpoint test sends them, to staging and to production."""

from headgate.model.runtime import Message

EXAMPLES = (
    Message("Yes, Thursday at three works for me. Please send an invitation."),
    Message("Too expensive for us this year, sorry."),
    Message("Bitte melden Sie sich im Herbst noch einmal, im Moment haben wir keine Zeit dafür."),
    Message("Our IT lead looks after that.\n\nOn Tue, 3 Mar 2026 at 10:12, Kim Lee <kim@example.com> wrote:\n> Are you free for a call?"),
    Message("I am away until Monday.", {"Auto-Submitted": "auto-replied"}),
    Message("Thanks!", {"Auto-Submitted": "no", "Subject": "Re: a question"}),
    Message("?"),
    Message("   \n "),
    Message("We have looked at it from every side, and every side has its own story to tell. " * 40),
)
