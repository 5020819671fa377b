"""Partitions: key prefixes, each in its own slot of a cluster."""

from zlib import crc32

MOST_PARTITIONS = 64
"""The largest number of partitions."""


def prefixes(partitions: int, prefix: str = "{charter}") -> list[str]:
    """Return the key prefix of each partition; a single one is laid out as a whole stream.

    Raises:
        ValueError: The number is out of range.
    """
    if not 1 <= partitions <= MOST_PARTITIONS:
        raise ValueError(f"a stream has 1 to {MOST_PARTITIONS} partitions, not {partitions}")
    if partitions == 1:
        return [prefix]
    return [prefix.replace("}", f":{number}}}") for number in range(partitions)]


def partition_of(source: str, partitions: int) -> int:
    """Return the partition of a source's events, the same in every process."""
    return crc32(source.encode("utf-8", "surrogatepass")) % partitions
