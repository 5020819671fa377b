"""`charter-otel serve`: the service."""

import ipaddress

import click

from charter_otel.cli.environment import check_otel_variables, settings
from charter_otel.failures import Refusal

_PEM = click.Path(exists=True, dir_okay=False)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Processes on the port; more than one requires redis://.",
)
@click.option(
    "--keep-alive",
    default=75,
    show_default=True,
    type=click.IntRange(1, 3_600),
    help="Seconds that an idle HTTP connection stays open; choose more than your load balancer.",
)
@click.option("--insecure", is_flag=True, help="Listen on any address without a secret.")
@click.option("--ssl-certfile", type=_PEM, help="Certificate chain; turns TLS on.")
@click.option("--ssl-keyfile", type=_PEM, help="Private key of the certificate.")
def serve(
    *,
    host: str,
    port: int,
    workers: int,
    keep_alive: int,
    insecure: bool,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
) -> None:
    """Run the service: robots over WebSocket, the REST API, the aggregation job.

    Settings come from the environment: CHARTER_EVENT_STREAM, CHARTER_AGGREGATION_INTERVAL,
    OTEL_EXPORTER_OTLP_ENDPOINT and so on. Any address but loopback needs CHARTER_AUTH_SECRET.
    SIGTERM and Ctrl-C close every connection, then end the service with exit code 0.
    """
    check_otel_variables()
    checked = settings()
    _check_address(host, secret=checked.auth_secret, insecure=insecure)
    if ssl_keyfile and not ssl_certfile:
        raise Refusal("--ssl-keyfile is of no use without --ssl-certfile; give both")
    from charter_otel.server.server import Options, run
    from charter_otel.server.serving import run_workers

    options = Options(host, port, keep_alive, ssl_certfile, ssl_keyfile)
    if workers > 1:
        run_workers(checked, options, workers)
    else:
        run(checked, options)


def _check_address(host: str, *, secret: str | None, insecure: bool) -> None:
    if not (secret or insecure or _is_loopback(host)):
        raise Refusal(
            f"--host {host} can be reached from other machines, and there is no secret; "
            "set CHARTER_AUTH_SECRET, or give --insecure to serve everybody"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
