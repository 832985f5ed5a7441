"""Run the code of the gallery's pages, write what it prints into them, and draw their figures.

    python experiments/gallery/make.py            # all pages
    python experiments/gallery/make.py tree       # one of them

A page is Markdown. Its Python blocks run in order in one namespace; what a block prints stands in
the text block that follows it; the figure is drawn from the namespace (figures.py).
"""

import argparse
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import torch

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?", re.DOTALL)


def run(text: str, name: str) -> tuple[str, dict[str, Any]]:
    """A page with its present output, and the names that its code leaves."""
    space: dict[str, Any] = {"__name__": name}

    def execute(block: re.Match[str]) -> str:
        # Line numbers of errors are those of the page.
        code = "\n" * (text.count("\n", 0, block.start()) + 1) + block["code"]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, name, "exec"), space)
        output = printed.getvalue()
        return f"```python\n{block['code']}```\n" + (f"\n```text\n{output}```\n" if output else "")

    return BLOCK.sub(execute, text), space


def main() -> None:
    import figures  # drawing: not needed by those who only run a page

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="page", help=", ".join(figures.FIGURES))
    pages = parser.parse_args().pages
    if unknown := set(pages) - set(figures.FIGURES):
        parser.error(f"no page {', '.join(unknown)}; there are {', '.join(figures.FIGURES)}")
    torch.set_num_threads(1)  # sums in the same order everywhere
    for name in pages or figures.FIGURES:
        page = GALLERY / f"{name}.md"
        text, space = run(page.read_text(encoding="utf-8"), page.name)
        page.write_text(text, encoding="utf-8")
        (GALLERY / f"{name}.svg").write_text(figures.FIGURES[name](space), encoding="utf-8")


if __name__ == "__main__":
    main()
