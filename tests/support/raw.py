"""A client that says exactly what it is told and reads exactly one answer at a time."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Reply:
    """One HTTP answer as it came over the wire; ``complete`` is false when it was cut short."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True

    def get(self, name: str, default: str = "") -> str:
        """The first value of *name*."""
        return next((value for key, value in self.headers if key == name.lower()), default)

    def all(self, name: str) -> list[str]:
        """Every value of *name*, in order."""
        return [value for key, value in self.headers if key == name.lower()]


class RawClient:
    """One TCP connection to 127.0.0.1:*port*."""

    def __init__(self, port: int, timeout: float = 15.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write *data*; a peer that closed already is not an error here."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def read_reply(self, *, head: bool = False) -> Reply:
        """The next answer. Raises ``ConnectionError`` when the peer closes before its head ends."""
        raw_head = self._until(b"\r\n\r\n")
        lines = raw_head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = [
            (name.lower(), value.strip())
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        ]
        if 100 <= status < 200:
            return Reply(status, headers, b"")
        body, complete = self._body(status, dict(headers), head)
        return Reply(status, headers, body, complete)

    def _body(self, status: int, headers: dict[str, str], head: bool) -> tuple[bytes, bool]:
        if head or status in (204, 304):
            return b"", True
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            size = int(headers["content-length"])
            body = self._exactly(size)
            return body, len(body) == size
        return self._rest(), True

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while size := int(self._until(b"\r\n").strip(), 16):
                body += self._exactly(size)
                if self._exactly(2) != b"\r\n":
                    return body, False
            self._until(b"\r\n")
        except ConnectionError:
            return body, False
        return body, True

    def at_end(self) -> bool:
        """Whether the peer closes without sending another byte."""
        return not self._buffer and not self._more()

    def _rest(self) -> bytes:
        while self._more():
            pass
        body, self._buffer = self._buffer, b""
        return body

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if not self._more():
                raise ConnectionError(f"closed after {self._buffer!r}")
        taken, _, self._buffer = self._buffer.partition(mark)
        return taken + mark

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)


def request(port: int, method: str, target: str, *lines: str, body: bytes = b"") -> Reply:
    """Send one request with Host and *lines* on a connection of its own and read the answer."""
    head = [f"{method} {target} HTTP/1.1", "Host: gateway.test", "Connection: close", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    with RawClient(port) as client:
        client.send("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        return client.read_reply(head=method == "HEAD")
