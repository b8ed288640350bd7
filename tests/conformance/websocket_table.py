"""The cases of the Autobahn test suite as frames, by its numbers (its own code is Python 2 only).

``closes`` are the close codes with which an echo server may end the case; 1000 where it goes well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.conformance.echo import frame

TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0
_MOST_FRAGMENTS = 4096
"""Of one message: the echo server takes some more, and no option of its raises that."""
BYE = frame(CLOSE, b"\x03\xe8")
FINE, BROKEN, NOT_TEXT = (1000,), (1002,), (1007,)


@dataclass(frozen=True)
class Case:
    """Frames that are sent, whole or in pieces of ``chop`` bytes.

    What is ``polite`` is closed by its client when everything is answered; else the other end, or
    a frame of the case, closes it.
    """

    number: str
    sent: bytes
    closes: tuple[int, ...] = FINE
    chop: int = 0
    polite: bool = True


def _sizes() -> Iterator[Case]:
    for group, opcode, letter in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for index, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            yield Case(f"1.{group}.{index}", frame(opcode, letter * size))
        yield Case(f"1.{group}.8", frame(opcode, letter * 65536), chop=997)


def _pings() -> Iterator[Case]:
    yield Case("2.1", frame(PING))
    yield Case("2.2", frame(PING, b"Hello, world!"))
    yield Case("2.3", frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))
    yield Case("2.4", frame(PING, b"\xfe" * 125))
    yield Case("2.5", frame(PING, b"\xfe" * 126) + BYE, BROKEN)
    yield Case("2.6", frame(PING, b"\xfe" * 125), chop=1)
    yield Case("2.7", frame(PONG))
    yield Case("2.8", frame(PONG, b"unsolicited pong payload"))
    yield Case("2.9", frame(PONG, b"unsolicited") + frame(PING, b"ping"))
    pings = b"".join(frame(PING, b"payload-%d" % n) for n in range(10))
    yield Case("2.10", pings)
    yield Case("2.11", pings, chop=1)


def _reserved() -> Iterator[Case]:
    hello = frame(TEXT, b"Hello")
    yield Case("3.1", frame(TEXT, b"*" * 15, rsv=1), BROKEN)
    for index, (rsv, chop) in enumerate(((2, 0), (3, 0), (4, 1)), 2):
        sent = hello + frame(TEXT, b"Hello", rsv=rsv) + frame(PING)
        yield Case(f"3.{index}", sent, BROKEN, chop)
    yield Case("3.5", frame(BINARY, b"\xff" * 8, rsv=5), BROKEN)
    yield Case("3.6", frame(PING, b"Hello", rsv=6), BROKEN)
    yield Case("3.7", frame(CLOSE, b"\x03\xe8", rsv=7), BROKEN)


def _opcodes() -> Iterator[Case]:
    hello = frame(TEXT, b"Hello")
    for group, first in ((1, 3), (2, 11)):
        for index in range(5):
            opcode = first + index
            payload = b"" if index % 2 == 0 else b"reserved"
            before = b"" if index < 2 else hello
            sent = before + frame(opcode, payload) + frame(PING)
            yield Case(f"4.{group}.{index + 1}", sent, BROKEN, chop=index == 3)


def _fragments() -> Iterator[Case]:
    one, two = frame(TEXT, b"fragment1", fin=False), frame(MORE, b"fragment2")
    ping, stray = frame(PING, b"ping"), frame(MORE, b"non-continuation")
    yield Case("5.1", frame(PING, b"a", fin=False) + frame(MORE, b"b"), BROKEN)
    yield Case("5.2", frame(PONG, b"a", fin=False) + frame(MORE, b"b"), BROKEN)
    for number, chop in (("5.3", 0), ("5.4", 7), ("5.5", 1)):
        yield Case(number, one + two, chop=chop)
    for number, chop in (("5.6", 0), ("5.7", 7), ("5.8", 1)):
        yield Case(number, one + ping + two, chop=chop)
    hello = frame(TEXT, b"Hello, world!")
    for number, chop in (("5.9", 0), ("5.10", 7), ("5.11", 1)):
        yield Case(number, stray + hello, BROKEN, chop)
    loose = frame(MORE, b"non-continuation", fin=False)
    for number, chop in (("5.12", 0), ("5.13", 7), ("5.14", 1)):
        yield Case(number, loose + hello, BROKEN, chop)
    yield Case("5.15", one + two + loose + frame(TEXT, b"x"), BROKEN)
    yield Case("5.16", (loose + one + two) * 2, BROKEN)
    yield Case("5.17", (frame(MORE, b"a") + one + two) * 2, BROKEN)
    yield Case("5.18", one + frame(TEXT, b"fragment2"), BROKEN)
    parts = [frame(MORE, b"fragment%d" % n, fin=n == 5) for n in range(2, 6)]
    mixed = one + parts[0] + frame(PING, b"p1") + parts[1] + parts[2] + frame(PING, b"p2")
    yield Case("5.19", mixed + parts[3])
    yield Case("5.20", mixed + parts[3], chop=1)


_GOOD = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode()
_KAPPA = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()
_UTF8 = (
    (_KAPPA, True), (b"\x00", True), (b"\xc2\x80", True), (b"\xe0\xa0\x80", True),
    (b"\xf0\x90\x80\x80", True), (b"\x7f", True), (b"\xdf\xbf", True), (b"\xef\xbf\xbf", True),
    (b"\xf4\x8f\xbf\xbf", True), (b"\xed\x9f\xbf", True), (b"\xee\x80\x80", True),
    (b"\xef\xbf\xbd", True), (b"\xef\xbf\xbe", True), (b"\xf0\x9f\xbf\xbf", True),
    (b"\xf8\x88\x80\x80\x80", False), (b"\xfc\x84\x80\x80\x80\x80", False),
    (b"\xf7\xbf\xbf\xbf", False), (b"\xfb\xbf\xbf\xbf\xbf", False), (b"\xf4\x90\x80\x80", False),
    (b"\x80", False), (b"\xbf", False), (b"\x80\xbf\x80", False), (bytes(range(0x80, 0xc0)), False),
    (b" ".join(bytes((n,)) for n in range(0xc0, 0xe0)), False), (b"\xe0 \xe1 ", False),
    (b"\xf0 \xf1 ", False), (b"\xf8 ", False), (b"\xfc ", False), (b"\xc0", False),
    (b"\xe0\x80", False), (b"\xf0\x80\x80", False), (b"\xdf", False), (b"\xef\xbf", False),
    (b"\xf7\xbf\xbf", False), (b"\xfe", False), (b"\xff", False), (b"\xfe\xfe\xff\xff", False),
    (b"\xc0\xaf", False), (b"\xe0\x80\xaf", False), (b"\xf0\x80\x80\xaf", False),
    (b"\xc1\xbf", False), (b"\xe0\x9f\xbf", False), (b"\xf0\x8f\xbf\xbf", False),
    (b"\xc0\x80", False), (b"\xe0\x80\x80", False), (b"\xf0\x80\x80\x80", False),
    (b"\xed\xa0\x80", False), (b"\xed\xaf\xbf", False), (b"\xed\xb0\x80", False),
    (b"\xed\xbf\xbf", False), (b"\xed\xa0\x80\xed\xb0\x80", False),
    (_KAPPA + b"\xed\xa0\x80edited", False),
)  # fmt: skip


def _pieces(text: bytes) -> bytes:
    """*text* as a message of one-byte fragments."""
    last = len(text) - 1
    return b"".join(
        frame(TEXT if n == 0 else MORE, text[n : n + 1], fin=n == last) for n in range(len(text))
    )


def _texts() -> Iterator[Case]:
    yield Case("6.1.1", frame(TEXT))
    empty = frame(TEXT, fin=False) + frame(MORE, fin=False)
    yield Case("6.1.2", empty + frame(MORE))
    yield Case("6.1.3", empty + frame(MORE, b"middle", fin=False) + frame(MORE))
    yield Case("6.2.1", frame(TEXT, _GOOD))
    yield Case("6.2.2", frame(TEXT, _GOOD[:12], fin=False) + frame(MORE, _GOOD[12:]))
    yield Case("6.2.3", _pieces(_GOOD))
    yield Case("6.2.4", _pieces(_KAPPA))
    bad = _KAPPA + b"\xed\xa0\x80edited"
    yield Case("6.3.1", frame(TEXT, bad), NOT_TEXT)
    yield Case("6.3.2", _pieces(bad), NOT_TEXT)
    cut = frame(TEXT, _KAPPA, fin=False) + frame(MORE, b"\xf4\x90\x80\x80", fin=False)
    yield Case("6.4.1", cut + frame(MORE, b"edited"), NOT_TEXT)
    yield Case("6.4.2", cut + frame(MORE, b"edited"), NOT_TEXT, chop=1)
    for index, (text, good) in enumerate(_UTF8, 1):
        sent = frame(TEXT, text)
        yield Case(f"6.5-22.{index}", sent, FINE if good else NOT_TEXT)


def _closing(number: str, sent: bytes, closes: tuple[int, ...] = FINE) -> Case:
    """A case that closes the connection itself."""
    return Case(number, sent, closes, polite=False)


def _closes() -> Iterator[Case]:
    hello = frame(TEXT, b"Hello World!")
    yield _closing("7.1.1", hello + BYE)
    yield _closing("7.1.2", BYE + BYE)
    yield _closing("7.1.3", BYE + frame(PING))
    yield _closing("7.1.4", BYE + hello)
    yield _closing("7.1.5", frame(TEXT, b"a", fin=False) + BYE + frame(MORE, b"b"), (1000, 1002))
    yield _closing("7.1.6", frame(TEXT, b"BAsd7&jh23" * 26_000) + hello + BYE + frame(PING))
    yield _closing("7.3.1", frame(CLOSE), (0, 1000, 1005))
    yield _closing("7.3.2", frame(CLOSE, b"a"), BROKEN)
    yield _closing("7.3.3", BYE)
    yield _closing("7.3.4", frame(CLOSE, b"\x03\xe8Hello World!"))
    yield _closing("7.3.5", frame(CLOSE, b"\x03\xe8" + b"*" * 123))
    yield _closing("7.3.6", frame(CLOSE, b"\x03\xe8" + b"*" * 124), BROKEN)
    yield _closing("7.5.1", frame(CLOSE, b"\x03\xe8" + _KAPPA + b"\xed\xa0\x80"), NOT_TEXT)
    good = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for index, code in enumerate(good, 1):
        yield _closing(f"7.7.{index}", frame(CLOSE, code.to_bytes(2)), (code,))
    bad = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    for index, code in enumerate(bad, 1):
        yield _closing(f"7.9.{index}", frame(CLOSE, code.to_bytes(2)), BROKEN)


def _limits(*sizes: int) -> Iterator[Case]:
    for group, opcode in ((1, TEXT), (2, BINARY)):
        for size in sizes:
            yield Case(f"9.{group}.{size}", frame(opcode, b"*" * size))
    for group, opcode in ((3, TEXT), (4, BINARY)):
        for part in (64, 4096, 65536):
            count = min(max(sizes) // part, _MOST_FRAGMENTS)
            text = b"*" * part
            first, last = frame(opcode, text, fin=False), frame(MORE, text)
            between = frame(MORE, text, fin=False) * (count - 2)
            yield Case(f"9.{group}.{part}", first + between + last)
    for group, opcode in ((5, TEXT), (6, BINARY)):
        for chop in (64, 2048):
            sent = frame(opcode, b"*" * (max(sizes) // 4))
            yield Case(f"9.{group}.{chop}", sent, chop=chop)
    for group, opcode in ((7, TEXT), (8, BINARY)):
        for size in (0, 16, 1024):
            yield Case(f"9.{group}.{size}", frame(opcode, b"*" * size) * 1000)


_WHOLE = b"".join(frame(TEXT if n == 0 else MORE, b"*" * 1300, fin=n == 50) for n in range(51))
_ALL = (
    *_sizes(), *_pings(), *_reserved(), *_opcodes(), *_fragments(), *_texts(), *_closes(),
    *_limits(65536, 262_144), Case("10.1.1", _WHOLE),
)  # fmt: skip
QUICK = tuple(one if one.closes == FINE else replace(one, polite=False) for one in _ALL)
HEAVY = tuple(_limits(65536, 262_144, 1 << 20, 4 << 20, 8 << 20, 16 << 20))
OFFERS = (
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=15; client_max_window_bits=9",
    "permessage-deflate; client_max_window_bits=8, permessage-deflate",
)
"""Groups 12 and 13: compression, agreed on end to end."""
