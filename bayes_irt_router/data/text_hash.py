"""A text told by a few digits."""

import hashlib


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of a text's SHA-256: tells whether a text was seen without keeping it.

    >>> text_hash("What is 2 + 2?")
    '38d46ad3618826cf'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
