"""A stand-in for Slack on loopback: takes what the notifier posts to an incoming webhook, and hands it to the demo."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Received = Callable[[dict[str, object]], None]
_LARGEST = 64 * 1024


@contextmanager
def fake_slack(received: Received) -> Iterator[str]:
    """Serve for the length of a block; yields the webhook's address. ``received`` is called in the server's thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("Content-Length") or 0), _LARGEST)
            try:
                content = json.loads(self.rfile.read(size))
            except ValueError:
                self._answer(400, b"invalid_payload")
                return
            received(content)
            self._answer(200, b"ok")

        def _answer(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing: the demo prints what was received."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="fake slack", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/services/demo"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
