"""Outages, and the pages that the runbooks describe for each."""

from collections.abc import Callable
from typing import NamedTuple

from outages.stack import Stack

SITES = {"berlin": 20, "kyoto": 60}


class Cause(NamedTuple):
    """Something that goes away, and comes back."""

    name: str
    what: str
    """The cause, in words of the table."""
    goes: Callable[[Stack], None]
    returns: Callable[[Stack], None]
    pages: dict[str, str]
    """The alerts that are paged, each once, with the severity."""


def _kill_instances(stack: Stack, how_many: int) -> None:
    for _ in range(how_many):
        stack.services.pop().process.kill()


def _start_instances(stack: Stack, how_many: int) -> None:
    for _ in range(how_many):
        stack.start()


CAUSES = (
    Cause(
        "redis",
        "Redis is away",
        lambda stack: stack.redis.kill(),
        lambda stack: stack.redis.start(),
        {"StreamUnreachable": "critical"},
    ),
    Cause(
        "collector",
        "the Collector is away",
        lambda stack: stack.collector.kill(),
        lambda stack: stack.collector.start(),
        {"CollectorDown": "critical"},
    ),
    Cause(
        "site",
        "a site of 20 of the 80 robots is lost",
        lambda stack: stack.fleet.cut("berlin"),
        lambda stack: stack.fleet.mend("berlin"),
        {"SiteDisconnected": "critical"},
    ),
    Cause(
        "instances",
        "both instances are killed",
        lambda stack: _kill_instances(stack, 2),
        lambda stack: _start_instances(stack, 2),
        {"ServiceDown": "critical"},
    ),
    Cause(
        "instance",
        "one of two instances is killed",
        lambda stack: _kill_instances(stack, 1),
        lambda stack: _start_instances(stack, 1),
        {"ServiceDown": "warning"},
    ),
)
