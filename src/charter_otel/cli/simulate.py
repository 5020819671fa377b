"""`charter-otel simulate`: a fleet of robots that are real WebSocket clients."""

import ssl

import click

from charter_otel.cli.environment import settings


@click.command()
@click.option(
    "--url",
    default="ws://127.0.0.1:8000",
    show_default=True,
    help="The service, with or without /api/telemetry/ws/{robot_id}.",
)
@click.option(
    "--robots",
    default=50,
    show_default=True,
    type=click.IntRange(1, 999_999),
    help="Number of robots.",
)
@click.option(
    "--hz",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1_000, min_open=True),
    help="Readings that each robot sends a second.",
)
@click.option(
    "--seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Duration, counted from the last robot's start.",
)
@click.option(
    "--ack/--no-ack",
    "acknowledge",
    default=True,
    show_default=True,
    help="Ask for an acknowledgement of each reading, or send a ping every 2 s instead.",
)
@click.option(
    "--reconnect/--no-reconnect",
    default=True,
    show_default=True,
    help="Reconnect after a random pause if the connection is lost.",
)
@click.option(
    "--connects-per-second",
    default=250.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Connections that are opened each second.",
)
@click.option(
    "--missions-per-second",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Mission entries that are posted to the service each second.",
)
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificates of authorities to trust (PEM), for wss:// with an authority of your own.",
)
def simulate(
    *,
    url: str,
    robots: int,
    hz: float,
    seconds: float,
    acknowledge: bool,
    reconnect: bool,
    connects_per_second: float,
    missions_per_second: float,
    ca_file: str | None,
) -> None:
    """Connect a fleet of simulated robots and send plausible readings.

    The result is one line on stdout, in words on a terminal and as a JSON object elsewhere: robots
    connected, frames sent, frames acknowledged, errors by kind, percentiles of the round trip. The
    round trip is that of acknowledgements, or of pings with --no-ack. Ctrl-C ends the fleet early.
    The exit code is not 0 if a robot could not connect or anything failed. If CHARTER_AUTH_SECRET
    is set, the robots present tokens.
    """
    from charter_otel.simulator import RobotBehaviour, parse, simulation
    from charter_otel.simulator.credentials import Credentials

    try:
        address = parse(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error
    plan = simulation.SimulationPlan(
        address=address,
        robots=robots,
        behaviour=RobotBehaviour(hz=hz, acknowledge=acknowledge, reconnect=reconnect),
        seconds=seconds,
        connects_per_second=connects_per_second,
        missions_per_second=missions_per_second,
        credentials=Credentials(settings().auth_secret),
        tls=_tls(ca_file, address.websocket),
    )
    simulation.simulate(plan)


def _tls(ca_file: str | None, address: str) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    if not address.startswith("wss:"):
        raise click.BadParameter("only wss:// has a certificate to check", param_hint="--ca-file")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # of which ssl.SSLError is one
        raise click.BadParameter(
            f"{ca_file} is of no use ({error.strerror or error}); give certificates in PEM",
            param_hint="--ca-file",
        ) from error
