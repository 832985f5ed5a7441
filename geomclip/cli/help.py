"""What --help says of a dataclass's fields: their docstrings as flowing text, and defaults that are
something. Loads no torch."""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Annotated

import tyro

# The text of such a field says what is done without it.
_NOTHING = ("None", "''", "")


@functools.cache
def describe_fields(options: type) -> None:
    """Hand tyro the texts of the fields of a dataclass, and of those in it.

    It would take them from the source, and keep the line breaks of the source.
    """
    from docstring_parser import parse_from_object

    texts = {p.arg_name: p.description or "" for p in parse_from_object(options).params}
    hints = typing.get_type_hints(options, include_extras=True)
    for field in dataclasses.fields(options):
        required = field.default is field.default_factory is dataclasses.MISSING
        hint = hints[field.name]
        plain = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        if isinstance(plain, type) and dataclasses.is_dataclass(plain):
            describe_fields(plain)
            continue
        text = " ".join(texts.get(field.name, "").split())
        shown: str | Callable[[str], str] = "(required)" if required else _default
        said = tyro.conf.arg(help=text or None, help_behavior_hint=shown)
        options.__annotations__[field.name] = Annotated[hint, said]


def _default(value: str) -> str:
    return "" if value in _NOTHING else f"(default: {value})"
