"""Password hashes of the product's kind that cost next to nothing."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """The product's with a thousandth of its rounds."""

    iterations = 1000
