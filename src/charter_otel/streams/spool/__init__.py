"""Events that wait on disk while the stream does not take them."""

from charter_otel.streams.spool.spool import Spool

__all__ = ["Spool"]
