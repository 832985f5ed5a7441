"""What a layout of published checkpoints is, and what it reads from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from geomclip.errors import RequestError
from geomclip.loaders.weights import Weights

if TYPE_CHECKING:
    from geomclip.model import ContrastiveModel


@dataclass(frozen=True)
class Wishes:
    """What the user says of a checkpoint that does not say it itself; None: it does.

    Args:
        geometry: name of the geometry.
        tokenizer: vocabulary file, or the folder that holds it.
        quick_gelu: whether the towers have OpenAI's activation.
    """

    geometry: str | None = None
    tokenizer: Path | None = None
    quick_gelu: bool | None = None


@dataclass(frozen=True)
class Source:
    """A checkpoint that has been read: tensors, and the settings beside them.

    Args:
        path: what the user named; errors begin with it.
        folder: where files beside the weights lie.
        weights: the tensors.
        config: `config.json` or `open_clip_config.json`; empty where there is none.
        wishes: what the user says of it.
    """

    path: Path
    folder: Path
    weights: Weights
    config: Mapping[str, Any] = field(default_factory=dict)
    wishes: Wishes = field(default_factory=Wishes)

    @property
    def where(self) -> str:
        """The beginning of an error."""
        return str(self.path)

    def setting(self, *keys: str, default: Any = None, kind: type | tuple[type, ...]) -> Any:
        """An entry of `config`, and of the tables in it; the default where it is not there or null.

        Raises:
            RequestError: it is of another kind.
        """
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise RequestError(
                f"{self.where}: its configuration's {'.'.join(keys)} is {value!r}",
                "Keep the configuration that came with the weights.",
            )
        return value

    def done(self, left: Mapping[str, Tensor], ignored: tuple[str, ...] = ()) -> None:
        """All tensors have been read but `left`. Raises RequestError that names what is not known.

        Args:
            ignored: ends of names that hold nothing to read (masks, position numbers).
        """
        unknown = sorted(name for name in left if not name.endswith(ignored))
        if unknown:
            raise RequestError(
                f"{self.where}: {len(unknown)} tensors belong to no part that our towers have: "
                f"{', '.join(unknown[:4])}{', ...' if len(unknown) > 4 else ''}",
                "A model with these parts can't be read.",
            )


@dataclass(frozen=True)
class Layout:
    """One way of naming a model's tensors.

    Args:
        name: what errors and the docs call it.
        needs: beginnings of names; a file of this layout has at least one tensor for each.
        read: makes the model, or raises RequestError.
        lacks: beginnings of names that a file of this layout never has.
        prefix: what may stand before any name of this layout.
    """

    name: str
    needs: tuple[str, ...]
    read: Callable[[Source], "ContrastiveModel"]
    lacks: tuple[str, ...] = ()
    prefix: str = ""

    def missing(self, names: Mapping[str, Tensor]) -> list[str]:
        """What of `needs` there is no tensor for."""
        plain = [name.removeprefix(self.prefix) for name in names]
        return [need for need in self.needs if not any(n.startswith(need) for n in plain)]

    def detect(self, names: Mapping[str, Tensor]) -> bool:
        """Whether these tensors have the names of this layout."""
        strange = any(n.startswith(lack) for n in names for lack in self.lacks)
        return not strange and not self.missing(names)
