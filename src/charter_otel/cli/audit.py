"""`charter-otel audit`: the audit log."""

from pathlib import Path

import click

from charter_otel.cli.environment import settings
from charter_otel.failures import CommandFailure


@click.group()
def audit() -> None:
    """Check the audit log."""


@audit.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
def verify(path: Path | None) -> None:
    """Check the audit log's chain; name broken rows, gaps and duplicates.

    PATH is the log's directory or one of its files. [default: audit/ in CHARTER_STATE_DIR]
    """
    from charter_otel.consumers.audit import verify as verified
    from charter_otel.otel.lines.values import printable

    path = path or settings().state_dir / "audit"
    try:
        found = verified(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandFailure(
            f"{path}: {reason}; name the log's directory or a file of it"
        ) from error
    for row, reason in found.continued:
        click.echo(f"row {row}: the log says that it was interrupted before: {printable(reason)}")
    if found.broken is not None:
        *_, last = [found.broken, *found.breaks]
        more = "" if last == found.broken else f", {len(found.breaks)} places in all, see above"
        for broken in found.breaks[1:]:
            click.echo(f"{broken.path}:{broken.line}: row {broken.row}: {printable(broken.reason)}")
        broken = found.broken
        raise CommandFailure(
            f"{broken.path}:{broken.line}: row {broken.row} is broken: {broken.reason}{more}. "
            f"{found.rows} rows before it are in order; keep the file as evidence."
        )
    if found.doubles:
        named = ", ".join(f"{event_id} again in row {row}" for event_id, row in found.doubles[:5])
        raise CommandFailure(
            f"{path}: {len(found.doubles)} rows repeat an event: {named}; the chain is in order"
        )
    click.echo(f"{path}: {found.rows} rows from row {found.first} are in order, head {found.head}")
