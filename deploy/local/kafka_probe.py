"""One Kafka Metadata request over a plain socket: is this broker *our* broker, and does it serve?

A client library would need an event loop, and a caller may already run one; this needs 60 lines.
"""

import socket
import struct
from dataclasses import dataclass

from deploy.local.ports import HOST

_METADATA, _VERSION = 3, 2  # version 2 is the first that carries the cluster id, and not yet compact-encoded


@dataclass(frozen=True)
class ClusterView:
    """What a broker says about its cluster."""

    cluster_id: str | None
    broker_ports: tuple[int, ...]


def view(port: int, timeout_s: float = 1.0) -> ClusterView | None:
    """Ask the broker on ``port``; None when nothing there answers in Kafka's protocol."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(_request())
            (size,) = struct.unpack(">i", _exactly(connection, 4))
            return parse(_exactly(connection, size))
    except (OSError, EOFError, struct.error, UnicodeDecodeError):
        return None


def _request() -> bytes:
    client = b"headrace-probe"
    no_topics = struct.pack(">i", 0)
    body = struct.pack(">hhih", _METADATA, _VERSION, 1, len(client)) + client + no_topics
    return struct.pack(">i", len(body)) + body


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def parse(response: bytes) -> ClusterView:
    """Read a Metadata response of version 2: correlation id, brokers, cluster id."""
    reader = _Reader(response, offset=4)
    ports = []
    for _ in range(reader.number(">i")):
        reader.number(">i")
        reader.text()
        ports.append(reader.number(">i"))
        reader.text()
    return ClusterView(reader.text(), tuple(ports))


@dataclass
class _Reader:
    data: bytes
    offset: int

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self.data, self.offset)
        self.offset += struct.calcsize(layout)
        return int(value)

    def text(self) -> str | None:
        length = self.number(">h")
        if length < 0:
            return None
        start, self.offset = self.offset, self.offset + length
        return self.data[start : self.offset].decode()
