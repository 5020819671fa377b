"""`charter-otel token`: a signed token, for a robot or for a client that reads and writes."""

import re
from typing import TYPE_CHECKING

import click

from charter_otel.cli.environment import settings
from charter_otel.failures import Refusal

if TYPE_CHECKING:
    from charter_otel.tokens import Scope

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST = 3_650 * _UNITS["d"]


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    """Return the seconds of a time such as ``90s``, ``12h`` or ``30d``."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST:
        raise click.BadParameter(f"{value!r} is not a time such as 90s, 30m, 12h or 30d")
    return float(seconds)


def _labels(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return labels by their names."""
    pairs = {}
    for value in values:
        name, separator, label = value.partition("=")
        if not (separator and label and re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name)):
            raise click.BadParameter(f"{value!r} is not a label such as site=berlin")
        pairs[name] = label
    return pairs


@click.command()
@click.argument("robot_id")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "robot"]),
    help="What the token allows: REST routes, or the robot's WebSocket too; repeatable. "
    "A robot's own token needs none.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_labels,
    help="A label of the robot, e.g. site=berlin; repeatable. CHARTER_ROBOT_LABELS names those "
    "that the service takes.",
)
@click.option(
    "--lifetime",
    default="30d",
    show_default=True,
    metavar="TIME",
    callback=_seconds,
    help="Time until it expires, e.g. 90s, 12h or 30d.",
)
def token(
    robot_id: str, scopes: "tuple[Scope, ...]", lifetime: float, labels: dict[str, str]
) -> None:
    """Print a token, signed with CHARTER_AUTH_SECRET.

    The token opens the WebSocket of the robot ROBOT_ID, and no other. A robot presents it as the
    header `Authorization: Bearer TOKEN`, a browser as the subprotocols `charter` and
    `bearer.TOKEN`.

    With --scope read or write it allows REST instead, with the same header. ROBOT_ID is then any
    name of its holder, and only --scope robot opens the WebSocket too. Nothing is stored: the token
    works for anyone who has it, until it expires or the secret is changed.
    """
    from charter_otel.charter import ROBOT_ID_RULE, is_robot_id
    from charter_otel.tokens import sign

    if not is_robot_id(robot_id):
        raise click.BadParameter(
            f"{robot_id!r} is not a robot id: {ROBOT_ID_RULE}", param_hint="ROBOT_ID"
        )
    secret = settings().auth_secret
    if secret is None:
        raise Refusal("CHARTER_AUTH_SECRET is not set; set it to the secret that the service has")
    click.echo(sign(secret, robot_id, scopes=scopes, lifetime=lifetime, labels=labels))
