"""A checksum in front of stored bytes, so that a change of them, or of what they belong to, is noticed."""

import hashlib

_DIGEST_BYTES = 16


def with_checksum(content: bytes, *context: bytes) -> bytes:
    """Content behind a checksum of itself and of the values that it belongs to."""
    return hashlib.blake2b(b"\0".join((content, *context)), digest_size=_DIGEST_BYTES).digest() + content


def without_checksum(stored: bytes, *context: bytes) -> bytes | None:
    """Content that `with_checksum` stored; None where the content or its context has changed since."""
    content = stored[_DIGEST_BYTES:]
    return content if with_checksum(content, *context) == stored else None
