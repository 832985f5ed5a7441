"""Values from a file laid over a frozen dataclass, with their types checked. Loads no torch."""

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from geomclip.errors import RequestError

T = TypeVar("T")


def update(config: T, values: dict[str, Any], where: str = "configuration") -> T:
    """A copy of a (nested) configuration dataclass with `values` laid over it, types checked."""
    hints = typing.get_type_hints(type(config))
    known = {f.name for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise RequestError(
                f'{where}: there is no setting "{key}"', f"Known: {', '.join(sorted(known))}."
            )
        old = getattr(config, key)
        if isinstance(old, dict) and dataclasses.is_dataclass(typing.get_args(hints[key])[1]):
            changes[key] = _tables(typing.get_args(hints[key])[1], old, value, f"{where}: {key}")
        elif isinstance(old, dict):
            changes[key] = old | _cast(hints[key], value, f"{where}: {key}")
        elif dataclasses.is_dataclass(old):
            if not isinstance(value, dict):
                raise RequestError(f"{where}: {key} is a table, got {value!r}", f"Write [{key}].")
            changes[key] = update(old, value, f"{where}: [{key}]")
        else:
            changes[key] = _cast(hints[key], value, f"{where}: {key}")
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def _tables(of: type[T], old: dict[str, T], values: Any, where: str) -> dict[str, T]:
    """Tables by name, which take the place of those there were; one of an old name changes it."""
    if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
        raise RequestError(f"{where} holds tables by name, got {values!r}", "Write [modalities.x].")
    return {
        name: update(old.get(name, of()), table, f"{where}.{name}")
        for name, table in values.items()
    }


def prune(value: Any) -> Any:
    """Plain values for TOML, which knows no None: those are left out."""
    if isinstance(value, dict):
        return {k: prune(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value


def _cast(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type of the field, or RequestError; ints pass as floats, lists as tuples."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _cast(next(a for a in typing.get_args(hint) if a is not type(None)), value, where)
    if origin is Literal:
        if value not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise RequestError(f"{where} is {value!r}", f"One of {choices}.")
        return value
    if origin is tuple:
        args = typing.get_args(hint)
        fixed = Ellipsis not in args
        if not isinstance(value, list | tuple) or (fixed and len(value) != len(args)):
            raise RequestError(
                f"{where} is {value!r}", f"Give a list{f' of {len(args)} values' * fixed}: [...]."
            )
        return tuple(_cast(args[i] if fixed else args[0], v, where) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise RequestError(f"{where} is a table, got {value!r}", "Write NAME = VALUE below it.")
        item = typing.get_args(hint)[1]
        return {name: _cast(item, v, f"{where}: {name}") for name, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (isinstance(value, bool) and hint is not bool) or not isinstance(value, hint):
        raise RequestError(f"{where} is {value!r}", f"Give a value of type {hint.__name__}.")
    return value
