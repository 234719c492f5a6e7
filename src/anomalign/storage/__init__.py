"""Object stores and web servers: what a URL means, reading, writing and listing, through fsspec."""

from anomalign.storage.urls import is_url, redacted

__all__ = ["is_url", "redacted"]
