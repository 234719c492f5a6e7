"""A checksum in front of stored bytes, so that a change of the bytes, or of the values they belong to, is noticed."""

import hashlib

_DIGEST_BYTES = 16


def with_checksum(content: bytes, *context: bytes) -> bytes:
    """Put a checksum of the content, and of the values that it belongs to, in front of the content."""
    return hashlib.blake2b(b"\0".join((content, *context)), digest_size=_DIGEST_BYTES).digest() + content


def without_checksum(stored: bytes, *context: bytes) -> bytes | None:
    """Content without the checksum of `with_checksum`; None if the content or its context has changed."""
    content = stored[_DIGEST_BYTES:]
    return content if with_checksum(content, *context) == stored else None
