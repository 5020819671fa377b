"""The command line `charter-otel`. Each command imports what it needs when it runs."""

import click

from charter_otel.cli.assets import assets
from charter_otel.cli.audit import audit
from charter_otel.cli.dead_letters import dead_letters
from charter_otel.cli.demo import demo
from charter_otel.cli.process import prepare
from charter_otel.cli.schema import schema
from charter_otel.cli.serve import serve
from charter_otel.cli.simulate import simulate
from charter_otel.cli.spool import spool
from charter_otel.cli.tail import tail
from charter_otel.cli.token import token
from charter_otel.cli.top import top
from charter_otel.cli.trace import trace

__all__ = ["main"]


@click.group(
    "charter",  # below `litestar`; alone it is called as it was started
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from the environment, as CHARTER_* and the standard OTEL_* variables.",
)
@click.version_option(package_name="charter-otel")
def main() -> None:
    """Charter v1.0 events of a robot fleet, for OpenTelemetry and an event stream."""
    prepare()


_COMMANDS = (
    serve,
    simulate,
    top,
    tail,
    trace,
    token,
    schema,
    assets,
    audit,
    dead_letters,
    spool,
    demo,
)
for _command in _COMMANDS:
    main.add_command(_command)
