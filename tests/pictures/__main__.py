"""Runs the demonstration and writes what people see of it to `dashboards/pictures/`."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from charter_otel.charter import Event
from charter_otel.cli.rest import Rest
from charter_otel.cli.top_loop import ask
from charter_otel.cli.top_view import screen
from charter_otel.cli.trace_view import tree
from charter_otel.otel.lines.console import event_line
from charter_otel.service.settings import Settings
from support.browser import Tab, find_chromium, tab
from support.polling import wait_until
from support.ports import free_port

PICTURES = Path(__file__).parents[2] / "dashboards" / "pictures"
SECONDS = 70
"""Seconds that the demonstration plays: once through its story."""
SEEN = 40
"""Seconds of it that the board has watched when its picture is taken."""
COLUMNS, ROWS = 100, 30

# rich's own template asks another host for a font.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" \
clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@contextmanager
def demonstration() -> Iterator[str]:
    """Run the demonstration, and return the address of its service."""
    port = free_port()
    command = [sys.executable, "-m", "charter_otel", "demo", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--seconds", str(SECONDS)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "CHARTER_LOG_FORMAT": "json"},
    )
    rest = Rest(f"http://127.0.0.1:{port}", Settings())

    def answers() -> bool:
        try:
            return bool(rest.get("/healthz"))
        except OSError:
            return False
        except Exception:  # noqa: BLE001 - not there yet, in whatever way
            return False

    try:
        wait_until(answers, "the demonstration answers")
        yield rest.url
    finally:
        process.terminate()
        process.wait()


async def photograph(url: str) -> None:
    """Take the pictures of the board, in both themes, and of one robot."""
    async with tab() as page:
        await page.look(width=1440, height=900, dark=True)
        await page.goto(url)
        await asyncio.sleep(SEEN)
        await shoot(page, "board-dark.webp")
        await page.look(width=1440, height=900)
        await asyncio.sleep(1)
        await shoot(page, "board-light.webp")
        await page.evaluate("location.hash = '#/robots/robot_008'")
        await asyncio.sleep(3)
        await shoot(page, "robot.webp")


async def shoot(page: Tab, name: str) -> None:
    """Write what the page shows."""
    await page.picture(PICTURES / name, format="webp", quality=82)


def terminal(name: str, title: str, shown: Any, rows: int | None = None) -> None:
    """Write what a terminal shows."""
    console = Console(
        width=COLUMNS,
        height=rows,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        highlight=False,
    )
    console.print(shown)
    drawn = console.export_svg(title=title, code_format=TEMPLATE, unique_id=name)
    (PICTURES / f"{name}.svg").write_text(drawn, encoding="utf-8")


def draw(rest: Rest) -> None:
    """Draw `top`, `tail` and `trace`."""
    terminal("top", "charter-otel top", screen(ask(rest), COLUMNS, ROWS), ROWS)
    events = [msgspec.convert(event, Event) for event in rest.get("/api/events", limit=12)]
    lines = Text("\n").join(Text.from_ansi(event_line(event, colors=True)) for event in events)
    terminal("tail", "charter-otel tail", lines)
    closed = rest.get("/api/events", type="telemetry.connection_closed", limit=1)[0]
    trace = rest.get(f"/api/traces/{closed['meta']['correlation_id']}")
    terminal("trace", f"charter-otel trace {trace['trace_id']}", tree(trace))


def main() -> None:
    """Take all pictures."""
    if find_chromium() is None:
        sys.exit("make pictures: there is no Chromium; install the package chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    os.environ["COLUMNS"] = str(COLUMNS)
    with demonstration() as url:
        asyncio.run(photograph(url))
        draw(Rest(url, Settings()))
    for path in sorted(PICTURES.iterdir()):
        sys.stdout.write(
            f"{path.relative_to(PICTURES.parents[1])}  {path.stat().st_size:,} bytes\n"
        )


if __name__ == "__main__":
    main()
