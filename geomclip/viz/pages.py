"""What the pages share: the template engine, style sheet, script, plotly, policy."""

import base64
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from geomclip.results import finite
from geomclip.viz import style

if TYPE_CHECKING:
    import jinja2

# No request leaves the page: not even a mistake in it could make one.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class Page:
    """A template with what a page of charts needs."""

    template: "jinja2.Template"
    common: dict[str, Any]
    """policy, style, script and plotly, marked as safe."""


def open_page(name: str) -> Page:
    """The template of that name; what it is filled with is escaped."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    common = {
        "policy": POLICY,
        "style": Markup(text_of("report.css")),
        "script": Markup(text_of("report.js")),
        "plotly": Markup(get_plotlyjs()),
    }
    return Page(template(name), common)


def template(name: str) -> "jinja2.Template":
    """A template of this folder, alone; what it is filled with is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    with resources.as_file(resources.files("geomclip.viz")) as path:
        environment = Environment(
            loader=FileSystemLoader(path),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template(name)


def text_of(name: str) -> str:
    """The text of a file of this folder: a style sheet, a script."""
    return (resources.files("geomclip.viz") / name).read_text(encoding="utf-8")


def frame(page: str, height: int) -> str:
    """A page in a frame of its own, for a notebook."""
    from html import escape

    # Without it "#section" would mean a place in the notebook, not in the page.
    page = page.replace("<head>", '<head><base href="about:srcdoc">', 1)
    return (
        f'<iframe srcdoc="{escape(page, quote=True)}" width="100%" height="{height}" '
        'style="border:0"></iframe>'
    )


def palette(families: set[str]) -> str:
    """CSS that defines the colour of each family of geometries on light and dark paper."""
    light, dark = (
        "".join(f"--g-{name}:{style.COLOURS[name][side]};" for name in sorted(families))
        for side in (0, 1)
    )
    night = "@media screen and (prefers-color-scheme:dark){:root:not(.light){" + dark + "}}"
    return f":root{{{light}}}{night}"


def dump(value: Any) -> str:
    """Compact JSON without NaN."""
    return json.dumps(finite(value), separators=(",", ":"), ensure_ascii=False)


def embed(value: Any) -> str:
    """JSON that may stand inside <script>."""
    # There "<" could end the element or open a comment; JSON has it in strings only.
    return dump(value).replace("<", "\\u003c")


def link(kind: str, text: str) -> str:
    """A data URI."""
    encoded = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return f"data:{kind};charset=utf-8;base64,{encoded}"
