"""The audit log of a run."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

from charter_otel.consumers.audit import CONTINUED, verify
from charter_otel.consumers.audit.segments import segments
from support.instances import stored_events
from support.polling import wait_until
from support.redis import RedisServer


def rows(log: Path) -> int:
    """Return the number of whole rows."""
    return len(_ids(log))


def wait(server: RedisServer, log: Path, within: float = 120) -> None:
    """Wait until the log has every event of the stream, for so many seconds at most."""
    with suppress(AssertionError):
        wait_until(lambda: _stored(server) <= set(_ids(log)), "every event is audited", within)


def wrong(server: RedisServer, log: Path) -> str:
    """Return what is wrong with the log, which should have each event of the stream once."""
    try:
        broken = verify(log).broken
    except FileNotFoundError:
        return "there is no audit log"
    if broken:
        return f"the audit log does not verify: row {broken.row}, {broken.reason}"
    found = Counter(_ids(log))
    if missing := [event for event in stored_events(server) if event["id"] not in found]:
        types = {event["type"] for event in missing}
        return f"audit rows are missing: {len(missing)} ({', '.join(sorted(types))})"
    return "an audit row is there twice" if max(found.values(), default=1) > 1 else ""


def _stored(server: RedisServer) -> set[str]:
    return {event["id"] for event in stored_events(server)}


def _ids(log: Path) -> list[str]:
    """Return the events of the whole rows; the last row may be half-written at this moment."""
    lines = [line for path in segments(log) for line in path.read_bytes().splitlines(keepends=True)]
    events = [json.loads(line)["event"] for line in lines if line.endswith(b"\n")]
    return [event["id"] for event in events if event["type"] != CONTINUED]
