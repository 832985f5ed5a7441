"""Sphinx configuration; `make docs` builds the site into docs/_build/html."""

import sys
from pathlib import Path

import geomclip

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "geomclip"
copyright = "The geomclip developers"
version = release = geomclip.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_help",
    "docstrings",
    "live",
    "mathml",
    "modules",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "geomclip"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"

# Shapes in signatures ("n d") look like names that several classes have.
suppress_warnings = ["ref.python"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_use_rtype = False
