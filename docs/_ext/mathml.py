"""Formulas as MathML, which browsers draw themselves: the site loads nothing from elsewhere."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

# What docutils' converter doesn't know. Fences of MathML stretch by themselves.
UNKNOWN = {r"\\[bB]igg?(?![a-zA-Z])": "", r"\\dots(?![a-zA-Z])": r"\\ldots"}


def mathml(formula: str, *, block: bool) -> str:
    """Raises docutils' MathError with the command that is not known."""
    for command, other in UNKNOWN.items():
        formula = re.sub(command, other, formula)
    return tex2mathml(formula, as_block=block)


def visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def visit_display(translator: Any, node: nodes.math_block) -> None:
    formula = mathml(node.astext(), block=True)
    translator.body.append(f'<div class="formula" tabindex="0">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
