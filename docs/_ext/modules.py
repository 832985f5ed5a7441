"""The API reference, from docstrings: a new module or name appears in it by being there.

`.. modules:: PACKAGE` documents every public module of a package, each name where it is defined.
`.. names:: PACKAGE` is the table of what `import PACKAGE` gives, with a link to each definition.
Names that begin with an underscore, and `__main__`, are nobody's to call.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def public_modules(package: str, *, below: bool = True) -> list[str]:
    """The modules of a package by name, itself first; `below`: of its packages, too."""
    found = [package]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        name = f"{package}.{module.name}"
        if module.name.startswith("_"):
            continue
        if not module.ispkg:
            found.append(name)
        elif below:
            found += public_modules(name)
    return found


def own_names(module: ModuleType) -> list[str]:
    """Public classes and functions that are defined in the module, in their order in it."""
    import torch

    found = []
    for name, value in vars(module).items():
        mine = getattr(value, "__module__", None) == module.__name__
        if name.startswith("_") or not mine or not (inspect.isclass(value) or callable(value)):
            continue
        # What autograd calls, with torch's own docstrings.
        if not (inspect.isclass(value) and issubclass(value, torch.autograd.Function)):
            found.append(name)
    return found


def defined_at(value: object, name: str) -> str | None:
    """Where a public name is documented, None for data."""
    if isinstance(value, ModuleType):
        return value.__name__
    if not (inspect.isclass(value) or callable(value)):
        return None
    return f"{value.__module__}.{getattr(value, '__qualname__', name)}"


def first_sentence(value: object) -> str:
    """Of the docstring."""
    if not (isinstance(value, ModuleType) or inspect.isclass(value) or callable(value)):
        return "Data."
    lines = (inspect.getdoc(value) or "").partition("\n\n")[0].split("\n")
    return " ".join(lines).partition(". ")[0].rstrip(".:") + "."


class Nested(SphinxDirective):
    """A directive that stands for other lines."""

    required_arguments = 1

    def lines(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        parent = nodes.section()
        parent.document = self.state.document
        self.state.nested_parse(StringList(self.lines(), self.arguments[0]), 0, parent)
        return parent.children


class Modules(Nested):
    option_spec = {"shallow": lambda _: True}  # noqa: RUF012

    def lines(self) -> list[str]:
        out: list[str] = []
        for name in public_modules(self.arguments[0], below="shallow" not in self.options):
            names = own_names(importlib.import_module(name))
            out += [f".. rubric:: {name}", "", f".. automodule:: {name}"]
            out += [f"   :members: {', '.join(names)}"] if names else []
            out += ["", ""]
        return out


class Names(Nested):
    def lines(self) -> list[str]:
        package = importlib.import_module(self.arguments[0])
        out = [".. list-table::", "   :widths: 30 70", ""]
        for name in sorted(package.__all__, key=str.lower):
            value = getattr(package, name)
            at = defined_at(value, name)
            shown = f":py:obj:`{name} <{at}>`" if at else f"``{name}``"
            text = first_sentence(value)
            for mark in ("\\", "*", "|", "`"):
                text = text.replace(mark, f"\\{mark}")
            out += [f"   * - {shown}", f"     - {text}"]
        return [*out, ""]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("modules", Modules)
    app.add_directive("names", Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
