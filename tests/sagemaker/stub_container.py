"""A serving container for tests of what surrounds one: /ping and /invocations on a port of 127.0.0.1, one label for every request.

    python stub_container.py LABEL [--errors SHARE] [--delay-s SECONDS]

The first line that it prints is its address. It answers with the headers that it was sent too, under `saw`.
"""

import argparse
import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("label")
    parser.add_argument("--errors", type=float, default=0.0)
    parser.add_argument("--delay-s", type=float, default=0.0)
    given, chance = parser.parse_args(), random.Random(7)

    class Container(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(200 if self.path == "/ping" else 404, b"")

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            time.sleep(given.delay_s)
            if text == "bad":
                self._say(422, b'{"title":"bad input"}')
            elif chance.random() < given.errors:
                self._say(500, b'{"title":"broken"}')
            else:
                prediction = {"label": given.label, "score": 0.9}
                self._say(200, json.dumps({"predictions": [prediction], "saw": dict(self.headers)}).encode())

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Container)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
