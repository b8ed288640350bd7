"""What a key or consumer may hold: names, roles and permissions become header values.

The same rules as where they are used (:mod:`keys.store`): what can be saved works.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from keys.claims import is_plain
from runtime.networks import parse_networks

MAX_ITEMS = 100
MAX_ITEM_LENGTH = 100


def validate_name(value: str) -> None:
    """A consumer's name travels in ``X-Consumer``, and in lists of names."""
    if "," in value or not is_plain(value):
        raise ValidationError(
            "Commas, control characters and blanks at either end are not allowed."
        )


def validate_header_items(value: Any) -> None:
    """Roles and permissions travel comma-separated in one header: no comma, nothing unprintable."""
    for item in _items(value):
        if not item.strip():
            raise ValidationError("An item is empty.")
        if len(item) > MAX_ITEM_LENGTH:
            raise ValidationError(f"{item[:20]!r}… is longer than {MAX_ITEM_LENGTH} characters.")
        if "," in item or not is_plain(item):
            raise ValidationError(
                f"{item!r}: commas, control characters and edge blanks are not allowed."
            )


def validate_names(value: Any) -> None:
    """A list of names."""
    for item in _items(value):
        if not item.strip():
            raise ValidationError("An item is empty.")


def validate_networks(value: Any) -> None:
    """A list of IP addresses and networks in CIDR form, host bits zero."""
    try:
        parse_networks(_items(value))
    except ValueError as error:
        raise ValidationError(f"{error}.") from error


def _items(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationError("Enter a list of texts.")
    if len(value) > MAX_ITEMS:
        raise ValidationError(f"At most {MAX_ITEMS} items.")
    return value
