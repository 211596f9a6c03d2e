"""mail-parser-reply on texts, in an environment of its own: `mail.py` starts it.

From the path it reads a JSON list of texts; it prints {"cpu_s", "replies"}: the newest message of each without signatures and disclaimers.
Nothing of headgate is imported: that environment holds the peer alone.
"""

import json
import sys
import time
from pathlib import Path

from mailparser_reply import EmailReplyParser

LANGUAGES = ["en", "de", "es", "fr", "it", "nl", "pl", "sv", "da", "ja", "zh"]  # it knows no Portuguese


def main(texts: list[str]) -> None:
    """Parse and print."""
    parser = EmailReplyParser(languages=LANGUAGES)
    start = time.process_time()
    replies = [parser.read(text).replies for text in texts]
    cpu_s = time.process_time() - start
    print(json.dumps({"cpu_s": cpu_s, "replies": [found[0].body if found else "" for found in replies]}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
