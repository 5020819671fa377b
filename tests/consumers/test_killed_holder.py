"""The instance that pages is killed while PagerDuty is away: another one goes on with its state."""

import json
import ssl
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

from rules.standins import PagerDuty
from support import polling
from support.certificates import Certificate, make_certificate
from support.redis import RedisServer
from support.service import ServiceProcess, service

wait_until = partial(polling.wait_until, within=60, every=0.1)

LEFT = "{charter}:leases:charter.alerts:left"


class SecurePagerDuty(PagerDuty):
    """The stand-in behind TLS, without which the service sends nobody a page."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__()
        self._certificate = certificate

    def __enter__(self) -> Self:
        """Listen."""
        super().__enter__()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*self._certificate)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        return self

    @property
    def ledger(self) -> tuple[int, int, set[str]]:
        """Numbers of incidents that were opened and resolved, and the keys of the open ones."""
        opened, resolved, is_open = 0, 0, set[str]()
        for event in list(self.events):
            key, before = event["dedup_key"], len(is_open)
            if event["event_action"] == "trigger":
                is_open.add(key)
                opened += len(is_open) - before
            else:
                is_open.discard(key)
                resolved += before - len(is_open)
        return opened, resolved, is_open


@pytest.mark.timeout(180)
def test_the_incidents_of_a_killed_holder_go_on(mortal_redis: RedisServer, tmp_path: Path) -> None:
    """Those that ended meanwhile are not open, the others are, and opened = resolved + open."""
    certificate = make_certificate(tmp_path)
    with SecurePagerDuty(certificate) as pager, ExitStack() as stack:
        settings = _settings(mortal_redis, pager, certificate)
        both = [stack.enter_context(service(**settings)) for _ in range(2)]
        wait_until(lambda: any(map(_holds, both)), "one holds")
        holder, other = sorted(both, key=_holds, reverse=True)
        robots = {name: stack.enter_context(_robot(other, name)) for name in "abcde"}
        tell = partial(_tell, other, robots)
        tell("e", battery=10)
        wait_until(lambda: pager.ledger == (1, 0, {_key("e")}), "the first page")
        pager.refuse = True
        for name in "abc":
            tell(name, battery=10)
        wait_until(
            lambda: all(_key(name) in _left(mortal_redis) for name in "abc"), "they are handed on"
        )
        tell("a", battery=80)
        wait_until(lambda: pager.refused, "PagerDuty is asked")
        holder.process.kill()
        tell("b", battery=80)
        tell("d", battery=10)
        tell("e", battery=80)
        wait_until(lambda: _holds(other), "the other one takes over")
        pager.refuse = False
        expected = {_key("c"), _key("d")}
        wait_until(lambda: pager.ledger[2] == expected, "what is open is paged")
        tell("a", battery=10)
        expected.add(_key("a"))
        wait_until(lambda: pager.ledger[2] == expected, "one that opens afterwards is paged")
        opened, resolved, is_open = pager.ledger
        assert is_open == expected
        assert opened == resolved + len(is_open)
        assert not [event for event in pager.events if "invalid" in event]
        wait_until(lambda: _alerts(other)["status"] == "ready", "its trouble is over")


def _settings(
    mortal_redis: RedisServer, pager: PagerDuty, certificate: Certificate
) -> dict[str, str]:
    return {
        "CHARTER_EVENT_STREAM": mortal_redis.url,
        "CHARTER_CONSUMERS": "alerts",
        "CHARTER_LEASE_SECONDS": "1",
        "CHARTER_PAGERDUTY_ROUTING_KEY": "0123456789abcdef0123456789abcdef",
        "CHARTER_PAGERDUTY_URL": f"https://{pager.address}",
        "SSL_CERT_FILE": str(certificate.chain),
    }


def _robot(at: ServiceProcess, name: str) -> ClientConnection:
    return connect(f"{at.websocket}/api/telemetry/ws/{name}?ack=1")


def _tell(
    at: ServiceProcess, robots: dict[str, ClientConnection], name: str, *, battery: float
) -> None:
    """Send a robot's reading; the event of it comes when somebody asks for it."""
    reading = {"cpu_usage": 20, "memory_usage": 40, "network_latency_ms": 9}
    robots[name].send(json.dumps(reading | {"battery_percentage": battery}))
    robots[name].recv()
    at.get(f"/api/telemetry/robots/{name}/metrics")


def _key(robot: str) -> str:
    return f"charter/robot/{robot}/battery"


def _left(mortal_redis: RedisServer) -> str:
    with mortal_redis.client() as client:
        state: Any = client.hgetall(LEFT)
    return str(state)


def _alerts(instance: ServiceProcess) -> Any:
    return instance.get("/readyz")["dependencies"]["alerts"]


def _holds(instance: ServiceProcess) -> bool:
    return bool(_alerts(instance)["holder"])
