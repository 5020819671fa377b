"""The rows as Markdown, and their place in `dashboards/README.md`."""

from collections.abc import Sequence
from pathlib import Path

from outages.run import Page, Row

README = Path(__file__).parents[2] / "dashboards" / "README.md"
BEGIN = "<!-- outages: written by `make outages WRITE=1` -->\n"
END = "<!-- end of outages -->\n"


def of(rows: Sequence[Row], seconds: float) -> str:
    """Return the table."""
    head = (
        f"| what happens, for {seconds / 60:.3g} minutes | paged | over | held back |\n"
        "|---|---|---|---|\n"
    )
    return head + "".join(map(_line, rows))


def write(text: str) -> None:
    """Put the table into its place.

    Raises:
        ValueError: The README has no place for it.
    """
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} has no lines {BEGIN!r} and {END!r}")
    README.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def _line(row: Row) -> str:
    paged = "; ".join(map(_paged, row.pages)) or "nothing"
    over = "; ".join("open" if p.over is None else _after(p.over) for p in row.pages)
    held = ", ".join(f"`{alert}`" for alert in row.held)
    what = row.cause.what if row.kept else f"**{row.cause.what}**"
    return f"| {what} | {paged} | {over} | {held} |\n"


def _paged(page: Page) -> str:
    return f"`{page.alert}`, {page.severity}, after {page.after:.0f} s"


def _after(seconds: float) -> str:
    return f"{seconds:.0f} s after its end" if seconds >= 0 else "before its end"
