"""For pipelines on Ray Data, and for any pool of processes (docs/scale.md)."""

from anomalign.distributed.inspector import Inspector

__all__ = ["Inspector"]
