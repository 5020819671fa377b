"""The allowance of handshakes that each address has."""

from charter_otel.telemetry import HandshakeRate


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _allowed(rate: HandshakeRate, address: str | None, times: int) -> int:
    return sum(rate.allows(address) for _ in range(times))


def test_one_second_s_worth_may_come_at_once() -> None:
    """Just under and at the limit all pass; the one over it does not."""
    rate = HandshakeRate(10, clock=Clock())
    assert _allowed(rate, "192.0.2.1", 9) == 9
    assert rate.allows("192.0.2.1")
    assert not rate.allows("192.0.2.1")


def test_the_allowance_fills_up_again() -> None:
    """A tenth of a second earns one of ten, an hour no more than a second's worth."""
    clock = Clock()
    rate = HandshakeRate(10, clock=clock)
    _allowed(rate, "192.0.2.1", 10)
    clock.now += 0.125
    assert _allowed(rate, "192.0.2.1", 10) == 1
    clock.now += 3_600
    assert _allowed(rate, "192.0.2.1", 20) == 10


def test_refused_handshakes_cost_nothing_of_the_allowance() -> None:
    """A client that asks too often gets what the rate allows all the same, not less."""
    clock = Clock()
    rate = HandshakeRate(10, clock=clock)
    passed = 0
    for _ in range(1_000):
        clock.now += 0.01
        passed += rate.allows("192.0.2.1")
    assert 105 <= passed <= 110


def test_each_address_has_its_own() -> None:
    """One that asks too often takes nothing from another; an unknown address is one of them."""
    rate = HandshakeRate(1, clock=Clock())
    assert [rate.allows(address) for address in ("192.0.2.1", "192.0.2.2", None)] == [True] * 3
    assert [rate.allows(address) for address in ("192.0.2.1", "192.0.2.2", None)] == [False] * 3


def test_an_ipv6_subscriber_has_one_allowance() -> None:
    """All addresses of a /64 share it, because one machine can use them all."""
    rate = HandshakeRate(1, clock=Clock())
    assert rate.allows("2001:db8::1")
    assert not rate.allows("2001:db8::ffff:2%eth0")
    assert rate.allows("2001:db8:0:1::1")


def test_an_ipv4_address_written_as_ipv6_is_the_same_address() -> None:
    """So a socket that serves both does not have all of IPv4 share one allowance."""
    rate = HandshakeRate(1, clock=Clock())
    assert rate.allows("::ffff:192.0.2.1")
    assert not rate.allows("192.0.2.1")
    assert rate.allows("::ffff:192.0.2.2")


def test_memory_is_bounded() -> None:
    """However many addresses ask, so many are remembered; the longest silent is forgotten."""
    rate = HandshakeRate(1, addresses=100, clock=Clock())
    for number in range(1_000):
        rate.allows(f"10.0.{number // 256}.{number % 256}")
    assert len(rate) == 100
    assert not rate.allows("10.0.3.231")
    assert rate.allows("10.0.0.0")
