"""Docstrings as they are written here, made reStructuredText.

Prose writes |x|, *b, alpha_ as arithmetic, which would be markup: it is escaped. An indented block
is a formula, a table or an example, line by line: it becomes a literal block, for reStructuredText
would run its lines together.
"""

import re
from typing import Any

from sphinx.application import Sphinx


def escaped(line: str) -> str:
    """Without what reStructuredText takes for markup, or for an address: R@10, a bare `file://`."""
    for mark in "|*@":
        line = line.replace(mark, f"\\{mark}")
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", re.sub(r"(?=://(?!\w))", r"\\", line))


def translated(lines: list[str]) -> list[str]:
    """The lines of a docstring, after napoleon has made fields of its sections."""
    out: list[str] = []
    above = ""  # the last line that is not indented
    literal = False
    for k, line in enumerate(lines):
        indented = line.startswith("    ")
        if not line.strip():
            out.append(line)
            continue
        if not indented:
            above, literal = line, False
        # Fields and directives indent what is theirs, and so do items of a list.
        elif not literal and not lines[k - 1].strip() and not re.match(r"(:|\.\.|[-*] )", above):
            out += ["::" if line.lstrip().startswith(">>>") else ".. code-block:: text", ""]
            literal = True
        out.append(line if literal else escaped(line))
    return out


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = translated(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    # After napoleon.
    app.connect("autodoc-process-docstring", process, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
