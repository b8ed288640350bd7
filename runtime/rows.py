"""Rows of numbers in memory that other processes and a thread of native code may read and write.

A row is a key and a few doubles. A process adds rows to a file of its own, which it has mapped;
whoever wants to know what all processes have counted reads all the files. A number is written by
one thread only, the one its row was made for, so adding to it needs no lock.

The file: eight bytes say how much of it is used; then, row after row, the length of the key, how
many numbers (two uint32), the key padded to a multiple of eight bytes, the numbers. Little-endian.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from ctypes import addressof, c_char
from pathlib import Path

SUFFIX = ".rows"
_SIZE = 64 << 20
"""Of address space. What is not used takes no memory."""
_STEP = 1 << 20
_USED = struct.Struct("<Q")
_HEAD = struct.Struct("<II")
_SPARE_NUMBERS = 64


class Rows:
    """Rows of this process, in *file* or, without one, in memory of its own. Raises ``OSError``.

    Nothing here ends before the process does: ``numbers`` and addresses stay good.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = -1
        if file is None:
            self._memory = mmap.mmap(-1, _SIZE)
        else:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(file, flags, 0o640)
            os.ftruncate(self._file, _SIZE)
            self._memory = mmap.mmap(self._file, _SIZE)
        self._bytes = memoryview(self._memory)
        self.numbers = self._bytes.cast("d")
        """All of the memory; a row's numbers stand from its place on."""
        self._reserved = 0
        # A process that had the same id before may have left rows.
        self._used = _USED.unpack_from(self._memory)[0] or _USED.size
        self.lost = 0
        """Rows there was no room for."""
        self._spare = -1
        self._spare = self.new(b"", _SPARE_NUMBERS)

    def new(self, key: bytes, numbers: int) -> int:
        """The place of a new row of so many *numbers*, all 0.

        Where there is no room, the place of one that nobody reads. Raises ``OSError`` if there is
        not even room for that.
        """
        first = self._used + _HEAD.size + -(-len(key) // 8) * 8
        end = first + 8 * numbers
        if not self._reserve(end):
            if self._spare < 0:
                raise OSError("there is no memory for metrics")
            self.lost += 1
            return self._spare
        _HEAD.pack_into(self._memory, self._used, len(key), numbers)
        at = self._used + _HEAD.size
        self._bytes[at : at + len(key)] = key
        self._used = end
        _USED.pack_into(self._memory, 0, end)
        return first // 8

    def address(self, place: int) -> int:
        """Where in memory the first number of a row is, for native code."""
        return addressof(c_char.from_buffer(self._memory)) + 8 * place

    def read(self) -> Iterator[tuple[bytes, tuple[float, ...]]]:
        """Every row as it is now."""
        return _read(self._memory)

    def _reserve(self, end: int) -> bool:
        """Have memory up to *end*: a page that is not there when it is written to is fatal."""
        if end > _SIZE:
            return False
        if self._file >= 0 and end > self._reserved:
            upto = min(_SIZE, -(-end // _STEP) * _STEP)
            try:
                os.posix_fallocate(self._file, self._reserved, upto - self._reserved)
            except OSError:
                return False
            self._reserved = upto
        return True


def read_all(directory: Path) -> Iterator[tuple[bytes, tuple[float, ...]]]:
    """Every row of every process, those that have ended included."""
    for file in directory.glob("*" + SUFFIX):
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_size < _USED.size:
                continue  # Its process has just made it.
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as memory:
                yield from _read(memory)


def _read(memory: mmap.mmap) -> Iterator[tuple[bytes, tuple[float, ...]]]:
    at = _USED.size
    end = _USED.unpack_from(memory)[0]
    while at < end:
        length, numbers = _HEAD.unpack_from(memory, at)
        start = at + _HEAD.size
        first = start + -(-length // 8) * 8
        at = first + 8 * numbers
        if length:
            yield memory[start : start + length], struct.unpack_from(f"<{numbers}d", memory, first)
