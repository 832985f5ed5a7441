"""`{live} NAME`: an interactive page beside the site, shown in a frame; works from a file, offline.

The pages are written when the site is built.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from live_files import PAGES, write_pages
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# How a page opens: the address of the explorer holds what is shown.
START = {"tree": "#t=branch"}


class Live(SphinxDirective):
    required_arguments = 1
    option_spec = {"title": str, "height": int}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        name, title = self.arguments[0], self.options["title"]
        if name not in PAGES:
            raise self.error(f"there is no live page {name!r}; one of {', '.join(PAGES)}")
        up = "../" * self.env.docname.count("/")
        page = f"{up}live/{name}.html{START.get(name, '')}"
        html = (
            f'<figure class="live"><iframe src="{page}" title="{title}" '
            f'height="{self.options["height"]}" loading="lazy"></iframe>'
            f'<figcaption>{title} <a href="{page}">On a page of its own</a>'
            "</figcaption></figure>"
        )
        return [nodes.raw("", html, format="html")]


def finish(app: Sphinx, failure: Exception | None) -> None:
    if failure is None and app.builder.format == "html":
        write_pages(Path(app.outdir) / "live")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("live", Live)
    app.connect("build-finished", finish)
    app.add_js_file("live.js")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
