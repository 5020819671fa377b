"""The sweep over all connections: checkpoints that do not come all at once."""

from collections import Counter

from charter_otel.telemetry.connections import Connection
from charter_otel.telemetry.gateway import Gateway
from charter_otel.telemetry.sweeper import Sweeper


def test_a_fleet_that_came_at_once_has_its_checkpoints_one_after_another() -> None:
    """Each connection has one checkpoint an interval, and no sweep writes more than its share."""
    gateway = Gateway(checkpoint_interval=60)
    for number in range(300):
        gateway.connections.add(Connection(f"robot_{number}"))
    begun = max(connection.opened for connection in gateway.connections)
    sweeper = Sweeper(gateway)
    written: Counter[str] = Counter()
    for second in range(60, 240):
        for connection in gateway.connections:
            connection.last_seen = begun + second
        sweeper.sweep(begun + second)
        now = [c.id for c in gateway.connections if c.checkpoint_at == begun + second]
        assert len(now) <= 6
        written.update(now)
    assert set(written.values()) == {3}
    assert len(written) == 300
