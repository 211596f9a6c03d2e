"""A server that does nothing, for `serving.py`: one prepared answer to each request, on uvloop. Its rate is what wrk can ask for here."""

import asyncio
import sys

import uvloop

ANSWER = b'{"label": "none"}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


class Nothing(asyncio.Protocol):
    """Takes what arrives at once for a whole request, as wrk sends it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once both head and body have arrived; http.client sends them apart."""
        if not data.endswith(b"\r\n\r\n"):
            self.transport.write(RESPONSE)  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Nothing, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
