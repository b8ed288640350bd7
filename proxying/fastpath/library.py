"""The engine's library, as ctypes sees it: five functions, messages as bytes.

It is built by ``make native`` into ``build/fastpath`` and used only while it was made of exactly
the sources that are here (see :mod:`gateway_project.compiled`).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_Data = ctypes.POINTER(ctypes.c_char)


class Library:
    """One engine. Not to be used by several threads at once."""

    def __init__(self, path: Path, configuration: bytes) -> None:
        """Start it. Raises ``OSError`` when the library cannot be loaded or the system has no room
        for an engine.
        """
        self._library = ctypes.CDLL(str(path))
        self._library.fastpath_start.restype = ctypes.c_void_p
        self._library.fastpath_start.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        self._library.fastpath_tell.restype = None
        self._library.fastpath_tell.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self._library.fastpath_hear.restype = ctypes.c_size_t
        self._library.fastpath_hear.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Data)]
        self._library.fastpath_fold.restype = ctypes.c_size_t
        self._library.fastpath_fold.argtypes = [
            ctypes.c_void_p,
            ctypes.POINTER(_Data),
            ctypes.c_bool,
        ]
        self._library.fastpath_stop.restype = None
        self._library.fastpath_stop.argtypes = [ctypes.c_void_p]
        self._handle = self._library.fastpath_start(configuration, len(configuration))
        if not self._handle:
            raise OSError("the system has no room for the fast path")
        self._data = _Data()

    def tell(self, message: bytes) -> None:
        """Tell the engine; one that was stopped hears nothing."""
        if not self._handle:
            return
        self._library.fastpath_tell(self._handle, message, len(message))

    def hear(self) -> bytes:
        """What the engine tells next; empty when it tells nothing, or was stopped."""
        if not self._handle:
            return b""
        return self._returned(self._library.fastpath_hear(self._handle, ctypes.byref(self._data)))

    def fold(self, *, whole: bool) -> bytes:
        """What became of requests since this was asked last; empty when it was stopped. Accounts
        and keys, of which there may be thousands, only where it is to be *whole*.
        """
        if not self._handle:
            return b""
        data = ctypes.byref(self._data)
        return self._returned(self._library.fastpath_fold(self._handle, data, whole))

    def stop(self) -> None:
        """Wait for the engine, which was told to retire, and free it."""
        handle, self._handle = self._handle, None
        self._library.fastpath_stop(handle)

    def _returned(self, length: int) -> bytes:
        return ctypes.string_at(self._data, length) if length else b""
