"""Sphinx configuration; `make docs` builds the site into docs/_build/html."""

import geomclip

project = "geomclip"
copyright = "The geomclip developers"
version = release = geomclip.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "geomclip"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_use_rtype = False


def escape_arithmetic(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
    """Docstrings write |x| and *b as arithmetic; in reStructuredText they would be markup."""
    lines[:] = [line.replace("|", "\\|").replace("*", "\\*") for line in lines]


def setup(app):  # type: ignore[no-untyped-def]
    app.connect("autodoc-process-docstring", escape_arithmetic)
