"""Where text goes: stderr for people, stdout for results."""

import json
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geomclip.cli.options import Common

# The package's own logger: what library code has to tell but must not print.
_log = logging.getLogger("geomclip")


class Output:
    """The two streams of one command."""

    def __init__(self, common: Common, console: Console | None = None) -> None:
        self.json = common.json
        self.quiet = common.quiet
        self.console = console or Console(stderr=True, highlight=False)
        for handler in [h for h in _log.handlers if isinstance(h, _Handler)]:
            _log.removeHandler(handler)
        _log.addHandler(_Handler(self))

    def note(self, text: str) -> None:
        """A line for people."""
        if not self.quiet:
            self.console.print(escape(text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line for people that --quiet doesn't silence."""
        self.console.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)

    def result(self, values: dict[str, Any], text: str | Table) -> None:
        """The result: `values` as JSON under --json, otherwise `text`."""
        if self.json:
            print(json.dumps(finite(values), ensure_ascii=False, indent=2), flush=True)
        elif isinstance(text, Table):
            # A pipe has no width; tables there are as wide as they need to be.
            width = None if sys.stdout.isatty() else 200
            console = Console(highlight=False, width=width)
            # A table's own title is wrapped to the width of its columns.
            console.print(text.title or "", soft_wrap=True)
            text.title = None
            console.print(text)
        else:
            print(text, flush=True)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    out = Table(title=escape(title) or None, title_justify="left", box=None, pad_edge=False)
    for i, name in enumerate(header):
        out.add_column(escape(name), justify="left" if i == 0 else "right", no_wrap=i > 0)
    for row in rows:
        out.add_row(*(escape(cell) for cell in row))
    return out


def finite(value: Any) -> Any:
    """Plain values for JSON, which knows neither NaN nor infinity: both become null."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class _Handler(logging.Handler):
    """Warnings of library code, printed above a running progress bar."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self.output = output

    def emit(self, record: logging.LogRecord) -> None:
        self.output.warn(record.getMessage())
