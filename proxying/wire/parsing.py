"""Reading one answer off a connection: bytes in, head and body out. No I/O.

Leans on llhttp (httptools) for the syntax of heads and chunks and on ``proxying.wire.framing`` for
where the body ends. The head is cut out first, so the parser never sees a body that has a length:
that body is counted here, without a copy, and what lies beyond its end is known to the byte. It
also spares telling the parser about HEAD, for which httptools has no switch. A parser is made for
each head (0.3 µs; feeding it the body as well so as to keep it costs more).

Trailers are kept apart from the headers (RFC 9110 6.5.1).
"""

from __future__ import annotations

import httptools

from proxying.exchange import Headers
from proxying.wire.framing import FramingError, answer_size, keeps_alive

_BLANK = b"\r\n\r\n"
_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_NONE: Headers = []
"""No trailers; nothing is added to it."""
_MAX_INTERIM = 10
"""Interim (1xx) answers dropped before the upstream is held to be broken."""


class AnswerParser:
    """One answer being read. :meth:`feed` what arrives until ``complete``; it may raise."""

    __deletable__ = ("_parser",)
    __slots__ = (
        "_codings",
        "_connection",
        "_head",
        "_head_parsed",
        "_interim",
        "_left",
        "_lengths",
        "_max_header_bytes",
        "_may_switch",
        "_parser",
        "_pieces",
        "_second",
        "_tail",
        "_to_head",
        "_unbodied",
        "complete",
        "excess",
        "head_done",
        "headers",
        "keep_alive",
        "size",
        "status",
        "switched",
        "trailers",
    )

    def __init__(self, *, to_head: bool, max_header_bytes: int, may_switch: bool = False) -> None:
        self.status = 0
        self.headers: Headers = []
        self.size: int | None = None
        self.head_done = False
        """The final answer's status, headers and size are here."""
        self.complete = False
        """The body has come to its proper end."""
        self.excess = False
        """Bytes came beyond that end."""
        self.keep_alive = False
        self.trailers: Headers = _NONE
        self.switched = False
        """It was a 101, which only *may_switch* allows: what follows is not HTTP."""
        self._to_head = to_head
        self._may_switch = may_switch
        self._max_header_bytes = max_header_bytes
        self._head = b""
        self._interim = 0
        self._left = 0
        self._unbodied = 0
        self._tail = b""
        self._pieces: list[bytes] = []
        self._second = False
        self._start_head()

    def _start_head(self) -> None:
        self._head_parsed = False
        self._lengths: tuple[bytes, ...] = ()
        self._codings: tuple[bytes, ...] = ()
        self._connection: tuple[bytes, ...] = ()
        self.headers = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; the bytes of the body in it. Raises :class:`FramingError`."""
        while not self.head_done:
            if not data:
                return b""
            data = self._feed_head(data)
        if self.switched:
            return data
        if self.size is None:
            return self._feed_chunks(data) if self._codings else data
        return self._feed_counted(data)

    def end(self) -> bool:
        """The connection closed: whether that is the proper end of the answer."""
        if self.head_done and self.size is None and not self._codings:
            self.complete = True
        return self.complete

    def _feed_head(self, data: bytes) -> bytes:
        """Parse up to the blank line at most; what comes after it."""
        before = len(self._head)
        head = self._head + data if before else data
        end = head.find(_BLANK, max(before - 3, 0)) + 4
        if end < 4:
            end = len(head)
            self._head = head
        else:
            self._head = b""
        if end > self._max_header_bytes:
            raise FramingError("the header block is too large")
        self._parse(data[: end - before])
        if not self._head:
            self._take_head(head)
        return data[end - before :]

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if not self._may_switch:
                raise FramingError("an upgrade nobody asked for") from None
        except httptools.HttpParserError as error:
            raise FramingError(str(error)) from None

    def _take_head(self, head: bytes) -> None:
        if not self._head_parsed or not head.startswith(_VERSIONS):
            raise FramingError("not an HTTP/1 answer")
        self.status = status = self._parser.get_status_code()
        http11 = head.startswith(_VERSIONS[0])
        if status == 101 and self._may_switch and http11:
            self.switched = self.head_done = True
            del self._parser
            return
        if status < 200:
            self._drop_interim(status)
            return
        self.size = answer_size(
            self._lengths, self._codings, status=status, to_head=self._to_head, http11=http11
        )
        self._left = self.size or 0
        until_close = self.size is None and not self._codings
        self.keep_alive = not until_close and keeps_alive(self._connection, http11=http11)
        self.head_done = True
        if self.size is not None or until_close:
            del self._parser  # it refers back to here

    def _drop_interim(self, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101:
            raise FramingError("an answer that cannot be interim")
        if self._interim > _MAX_INTERIM:
            raise FramingError("interim answers without end")
        self._start_head()

    def _feed_counted(self, data: bytes) -> bytes:
        if len(data) > self._left:
            self.excess = True
            data = data[: self._left]
        self._left -= len(data)
        self.complete = not self._left
        return data

    def _feed_chunks(self, data: bytes) -> bytes:
        try:
            self._parse(data)
        except FramingError:
            if not self.complete:
                raise
        self._tail = data[-5:] if len(data) >= 5 else (self._tail + data)[-5:]
        if self.complete:
            del self._parser
            # llhttp passes over line ends between two messages, so they are looked for here: only
            # four of these bytes belong, the last line break and the blank line.
            self.excess = self._second or self._tail[:1] in (b"\r", b"\n")
            return self._body()
        self._unbodied = 0 if self._pieces else self._unbodied + len(data)
        if self._unbodied > self._max_header_bytes:
            raise FramingError("chunk extensions or trailers without end")
        return self._body()

    def _body(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    # Called by the parser; an exception here would lose its place, so these only take notes.

    def on_message_begin(self) -> None:
        """A message starts; a second one after the end is excess."""
        self._second = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line, or a trailer."""
        name = name.lower()
        value = value.rstrip(b" \t")
        if self._head_parsed:
            self.trailers = [*self.trailers, (name, value)]
            return
        if name == b"content-length":
            self._lengths += (value,)
        elif name == b"connection":
            self._connection += (value,)
        elif name == b"transfer-encoding":
            self._codings += (value,)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The blank line was seen."""
        self._head_parsed = True

    def on_body(self, data: bytes) -> None:
        """Content of a chunk (a counted body never reaches the parser)."""
        if not self.complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The blank line after the last chunk, or the end of a head without a body."""
        if self.head_done:
            self.complete = True
