"""Reading the head of a request: bytes in; method, target, headers and framing out. No I/O.

Leans on llhttp (httptools) for the syntax and on ``proxying.wire.framing`` for where the message
ends. llhttp sees nothing but heads: its opinion of transfer codings is switched off because the
rules here are stricter and know the status, and a body is read in ``proxying.wire.body``.

It is refused as it comes in what no later byte can mend, so a head is held only within its bounds.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

import httptools

from proxying.admission import FORWARDABLE, MOST_HEADER_LINES, Bounds
from proxying.errors import BadRequest, MethodNotAllowed
from proxying.exchange import Body, Exchange, Headers
from proxying.wire.framing import (
    FramingError,
    UnknownCodingError,
    client_keeps_alive,
    request_size,
)

_LINE_END = b"\r\n"
_BLANK = b"\r\n\r\n"
_SLASH = ord("/")
_ONE, _ZERO = ord("1"), ord("0")
_AROUND_TARGET = 40
"""At most this much of a head is neither target nor headers: method, version, line ends."""
_SPECIAL = frozenset((b"content-length", b"transfer-encoding", b"connection", b"expect"))
_METHODS = {name.encode(): name for name in FORWARDABLE}


class Ends:
    """Where a connection comes from and where it came to."""

    __slots__ = ("peer", "port", "scheme")

    def __init__(self, peer: str = "", scheme: str = "http", port: int = 80) -> None:
        self.peer = peer
        self.scheme = scheme
        self.port = port

    @classmethod
    def of(cls, transport: asyncio.BaseTransport) -> Ends:
        """Those of a connection that is made; of a UNIX socket nothing is known."""
        scheme, port = "http", 80
        if transport.get_extra_info("sslcontext") is not None:
            scheme, port = "https", 443
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if isinstance(local, tuple):
            port = local[1]
        return cls(peer[0] if isinstance(peer, tuple) else "", scheme, port)


class HeadReader:
    """Reads the heads of one connection, one after the other.

    When :meth:`feed` returns bytes, the attributes are those of the head that ended before them.
    """

    __slots__ = (
        "_bounds",
        "_parser",
        "_raw",
        "_special",
        "_url",
        "expects_continue",
        "headers",
        "http11",
        "keep_alive",
        "method",
        "query",
        "size",
        "target",
    )

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._raw = bytearray()
        self._parser: httptools.HttpRequestParser | None = None
        self.method = ""
        self.target = b""
        """Path as it came."""
        self.query: bytes | None = None
        self.headers: Headers = []
        self.http11 = True
        self.size: int | None = 0
        """Bytes of the body that follows; ``None``: chunked."""
        self.keep_alive = True
        self.expects_continue = False
        self._start()

    def _start(self) -> None:
        self._url = b""
        self._special: Headers = []
        self.headers = []

    @property
    def begun(self) -> bool:
        """Whether part of a head is here; the empty line some clients send after a body is none."""
        return bool(self._raw) and not _LINE_END.startswith(self._raw)

    def feed(self, data: bytes) -> bytes | None:
        """What comes after the head that ends in *data*; ``None`` when it does not end yet.

        Raises ``BadRequest`` (400, 414, 431, 501, 505) and ``MethodNotAllowed``; the connection is
        of no use then.
        """
        if self._raw:
            return self._feed_more(data)
        self._start()
        end = data.find(_BLANK) + 4
        if end < 4:
            self._raw += data
            self._parse(data, data)
            self._check_bounds(len(data))
            return None
        if end == len(data):
            self._take(data)
            return b""
        self._take(data[:end])
        return data[end:]

    def _feed_more(self, data: bytes) -> bytes | None:
        raw = self._raw
        before = len(raw)
        raw += data
        end = raw.find(_BLANK, max(before - 3, 0)) + 4
        if end < 4:
            self._parse(data, raw)
            self._check_bounds(len(raw))
            return None
        self._raw = bytearray()
        self._parse(data[: end - before], raw)
        self._take(bytes(raw[:end]), parsed=True)
        return data[end - before :]

    def exchange(self, body: Body, ends: Ends) -> Exchange:
        """The request whose head was read, with its *body*."""
        return Exchange(
            self.method,
            self.target,
            self.query,
            self.headers,
            body,
            ends.peer,
            ends.scheme,
            ends.port,
            b"1.1" if self.http11 else b"1.0",
            upgradable=True,
        )

    def close(self) -> None:
        """Let go of the parser, which refers back to here."""
        self._parser = None

    def _parse(self, data: bytes, head: bytes | bytearray) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
            parser.set_dangerous_leniencies(
                lenient_chunked_length=True,
                lenient_transfer_encoding=True,
                lenient_data_after_close=True,
            )
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # whether there is a body is for the rules of framing to say
        except httptools.HttpParserError as error:
            if not isinstance(error, httptools.HttpParserInvalidMethodError):
                self._check_bounds(len(head))
            elif head.split(b" ", 1)[0].isalpha():
                raise BadRequest("this method is not known", 501, "not_implemented") from None
            raise BadRequest(str(error)) from None

    def _check_bounds(self, size: int) -> None:
        # A "?" between path and query is not counted, so the target may be one byte longer here.
        if len(self._url) > self._bounds.target + 1:
            raise BadRequest(
                f"the target is longer than {self._bounds.target} bytes", 414, "uri_too_long"
            )
        most = self._bounds.header_block
        if size - len(self._url) > most + _AROUND_TARGET or len(self.headers) > MOST_HEADER_LINES:
            raise BadRequest(
                f"more than {most} bytes or {MOST_HEADER_LINES} lines of headers",
                431,
                "headers_too_large",
            )

    def _take(self, head: bytes, *, parsed: bool = False) -> None:
        if not parsed:
            self._parse(head, head)
        self._check_bounds(len(head))
        parser = self._parser
        if parser is None:
            raise BadRequest("not a request")
        method = parser.get_method()
        self._read_line(head.removeprefix(_LINE_END), b"%b %b HTTP/1." % (method, self._url))
        if method == b"CONNECT":
            raise MethodNotAllowed("CONNECT", FORWARDABLE)
        self.method = _METHODS.get(method) or method.decode("ascii")
        self._read_target()
        self.keep_alive = self.http11
        self.expects_continue = False
        self.size = self._read_special() if self._special else 0
        if self.size != 0 or parser.should_upgrade():
            self._parser = None  # it waits for a body that it will not be given

    def _read_line(self, head: bytes, line: bytes) -> None:
        """The request line has to be *line* to the byte: llhttp takes two spaces and RTSP too."""
        version = head[len(line) : len(line) + 3]
        if not head.startswith(line) or version[1:] != _LINE_END:
            self._refuse_line()
        self.http11 = version[0] == _ONE
        if not self.http11 and version[0] != _ZERO:
            self._refuse_line()

    def _refuse_line(self) -> NoReturn:
        parser = self._parser
        if self._url and parser is not None and parser.get_http_version() not in ("1.0", "1.1"):
            raise BadRequest("only HTTP/1.0 and HTTP/1.1", 505, "http_version_not_supported")
        raise BadRequest("the request line is not a method, a target and a version")

    def _read_target(self) -> None:
        url = self._url
        if b"#" in url:
            raise BadRequest("a fragment in the target")
        path, mark, query = url.partition(b"?")
        self.query = query if mark else None
        self.target = path if path[0] == _SLASH else self._origin_form(path)

    def _origin_form(self, path: bytes) -> bytes:
        """The path of an absolute-form target, whose host replaces Host (RFC 9112 3.2.2)."""
        scheme, mark, rest = path.partition(b"://")
        if not mark or scheme.lower() not in (b"http", b"https"):
            return path
        authority, slash, tail = rest.partition(b"/")
        self.headers = [(n, authority if n == b"host" else v) for n, v in self.headers]
        if not self.http11 and all(name != b"host" for name, _ in self.headers):
            self.headers.append((b"host", authority))
        return slash + tail or b"/"

    def _read_special(self) -> int | None:
        """Connection, expectation, and the size of the body."""
        http11 = self.http11
        lengths, codings = self._values(b"content-length"), self._values(b"transfer-encoding")
        try:
            size = request_size(lengths, codings, http11=http11)
        except FramingError as error:
            if isinstance(error, UnknownCodingError):
                raise BadRequest(str(error), 501, "not_implemented") from None
            raise BadRequest(str(error)) from None
        self.keep_alive = client_keeps_alive(self._values(b"connection"), http11=http11)
        expectations = self._values(b"expect")
        self.expects_continue = http11 and any(v.lower() == b"100-continue" for v in expectations)
        return size

    def _values(self, wanted: bytes) -> list[bytes]:
        return [value for name, value in self._special if name == wanted]

    # Called by the parser; an exception here would lose its meaning, so these only take notes.

    def on_url(self, part: bytes) -> None:
        """The target, or a part of it."""
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        line = (name.lower(), value.rstrip(b" \t"))
        self.headers.append(line)
        if line[0] in _SPECIAL:
            self._special.append(line)
