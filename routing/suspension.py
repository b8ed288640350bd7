"""Holding back automatic publishing while one caller writes many rows and publishes itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_suspended: ContextVar[bool] = ContextVar("publishing_suspended", default=False)


def is_suspended() -> bool:
    """Whether changes of rows are to be left unpublished in this context."""
    return _suspended.get()


@contextmanager
def suspended() -> Iterator[None]:
    """Changes made inside are not published by themselves."""
    token = _suspended.set(True)
    try:
        yield
    finally:
        _suspended.reset(token)
