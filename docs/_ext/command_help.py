"""`.. command-help::`: what `geomclip COMMAND --help` prints, for every command."""

import contextlib
import io
import os
import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WIDTH = "96"


def help_of(words: list[str]) -> str:
    """The text, without colours, at a fixed width. Raises RuntimeError if the command failed."""
    from geomclip.cli.main import main

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    if code != 0:
        raise RuntimeError(f"geomclip {' '.join(words)} --help ended with {code}")
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).rstrip()


def commands() -> list[list[str]]:
    """Every command; `data` has two."""
    from geomclip.cli.main import COMMANDS

    return [
        words
        for name in COMMANDS
        for words in ([["data", "check"], ["data", "sizes"]] if name == "data" else [[name]])
    ]


class CommandHelp(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        for words in [[], *commands()]:
            title = " ".join(["geomclip", *words])
            section = nodes.section(ids=[nodes.make_id(title)], names=[title])
            section += nodes.title(text=title)
            text = help_of(words)
            section += nodes.literal_block(text, text, language="none")
            found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
