"""What each modality of a run is: what it reads of a record, and what encodes it. Loads no torch.

A modality is a view of the data with a name; an encoder may serve several (a picture and a box cut
from it). `Roles` says which modalities meet in the losses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from geomclip.errors import RequestError

Pair = tuple[str, str]

PICTURES = ("image", "box")
TEXTS = ("caption", "name", "keywords", "phrase")


@dataclass(frozen=True)
class ModalityConfig:
    """One modality: what it reads of a record, and the encoder that makes features of it."""

    reads: Literal["image", "box", "caption", "name", "keywords", "phrase", "item"] = "caption"
    """`image`: the picture; `caption`: a text drawn as [captions] says; `name`: the first text;
    `keywords`: the others, in turn from a random one on (the name where there is none); `box` and
    `phrase`: one of the boxes of the picture and its words (--data.boxes); `item`: the number of
    the record's item, for a table."""
    encoder: str = ""
    """The tower of [model.image] for pictures and of [model.text] for texts when empty, for items a
    `table` of points on the manifold; MODULE:FUNCTION for one of your own (docs/modalities.md)."""
    shares: str = ""
    """Another modality of the same kind, whose encoder serves this one too."""

    @property
    def kind(self) -> Literal["pixels", "tokens", "rows"]:
        """What the encoder is given."""
        if self.reads in PICTURES:
            return "pixels"
        return "tokens" if self.reads in TEXTS else "rows"

    @property
    def gives_points(self) -> bool:
        """Whether the encoder is a table of points."""
        return self.kind == "rows" and self.encoder in ("", "table")


IMAGE_TEXT = {"image": ModalityConfig("image"), "text": ModalityConfig("caption")}


@dataclass(frozen=True)
class Roles:
    """Which modalities meet in the losses; modalities are called by their names."""

    pairs: tuple[Pair, ...]
    """Those that are contrasted; x and y of a pairwise loss."""
    links: tuple[Pair, ...]
    """(parent, child): the child should lie in the parent's cone."""
    encoders: Mapping[str, str]
    """The encoder of each modality, by the name of the modality that it is built for."""
    text: str = ""
    """The first that reads whole texts: labels are encoded as it is. "" without one."""
    image: str = ""
    """The first that reads whole pictures."""
    box: str = ""
    phrase: str = ""
    """Those of boxes and their words."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self.encoders)

    @property
    def contrasted(self) -> tuple[str, ...]:
        """The modalities of `pairs`, each once."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair))

    @staticmethod
    def of(
        modalities: Mapping[str, ModalityConfig],
        contrast: tuple[str, ...] = (),
        entails: tuple[str, ...] = (),
    ) -> "Roles":
        """The roles in a configuration.

        Without `contrast` all pairs of modalities are contrasted; without `entails` the texts of
        the pairs entail their pictures.

        Raises:
            RequestError: fewer than two modalities, a name that can't be one, encoders that can't
                be shared, or pairs of modalities that there aren't.
        """
        _check(modalities)

        def first(*reads: str) -> str:
            return next((n for n, m in modalities.items() if m.reads in reads), "")

        pairs = _pairs("contrast", contrast, modalities)
        pairs = pairs or tuple(combinations(modalities, 2))
        if missing := set(modalities) - {name for pair in pairs for name in pair}:
            raise RequestError(
                f"contrast: {', '.join(sorted(missing))} is in no pair, and would not be learned",
                "Name it in one, or leave its table out.",
            )
        links = _pairs("entails", entails, modalities)
        if not links:
            kinds = {name: m.kind for name, m in modalities.items()}
            ways = [way for a, b in pairs for way in ((a, b), (b, a))]
            links = tuple((a, b) for a, b in ways if (kinds[a], kinds[b]) == ("tokens", "pixels"))
        return Roles(
            pairs,
            links,
            {name: m.shares or name for name, m in modalities.items()},
            text=first("caption") or first("name", "keywords"),
            image=first("image"),
            box=first("box"),
            phrase=first("phrase"),
        )


def box_roles(
    modalities: Mapping[str, ModalityConfig], contrast: tuple[str, ...], entails: tuple[str, ...]
) -> Roles:
    """The roles of HyCoCLIP's scheme, whose pairs and cones are its own.

    Raises RequestError where a modality is missing, or pairs are given.
    """
    roles = Roles.of(modalities)
    asked = {"image": roles.image, "caption": roles.text, "box": roles.box, "phrase": roles.phrase}
    if missing := [reads for reads, name in asked.items() if not name]:
        raise RequestError(
            f"--loss.contrastive hycoclip: no modality reads {' and none '.join(missing)}",
            "Write tables [modalities.NAME] that do (docs/losses/hycoclip.md).",
        )
    if contrast or entails:
        raise RequestError(
            "--loss.contrastive hycoclip: its pairs and cones are those of its paper",
            "Leave contrast and entails out.",
        )
    if more := set(modalities) - set(asked.values()):
        raise RequestError(
            f"--loss.contrastive hycoclip: {', '.join(sorted(more))} is in none of its four pairs",
            "Leave its table out.",
        )
    image, text, box, phrase = asked.values()
    pairs = ((image, text), (box, text), (phrase, image))
    links = ((text, image), (phrase, box), (box, image), (phrase, text))
    return replace(roles, pairs=pairs, links=links)


def check_boxes(modalities: Mapping[str, ModalityConfig], *, boxes: bool) -> None:
    """Raises RequestError where a modality reads boxes of data that are read without."""
    for name, modality in modalities.items():
        if modality.reads in ("box", "phrase") and not boxes:
            raise RequestError(
                f"[modalities.{name}] reads a {modality.reads}, and boxes are not read",
                "Give --data.boxes: the json of each sample in a tar then has to hold some.",
            )


def _check(modalities: Mapping[str, ModalityConfig]) -> None:
    if len(modalities) < 2:
        raise RequestError(
            f"modalities: there {'is' if len(modalities) == 1 else 'are'} {len(modalities)}, and a "
            "contrast takes two",
            "Write a table [modalities.NAME] for each.",
        )
    for name, modality in modalities.items():
        where = f"[modalities.{name}]"
        if not name.isidentifier():
            raise RequestError(f"{where}: the name is no identifier", "Use letters, digits and _.")
        if modality.encoder == "table" and modality.reads != "item":
            raise RequestError(f"{where}: a table has no row for a {modality.reads}", "Read item.")
        if modality.encoder not in ("", "table") and modality.encoder.count(":") != 1:
            raise RequestError(
                f'{where}: there is no encoder "{modality.encoder}"',
                'Leave it empty, or give "table" or "MODULE:FUNCTION".',
            )
        if modality.shares:
            other = modalities.get(modality.shares)
            if other is None or other.shares or modality.encoder or modality.shares == name:
                raise RequestError(
                    f'{where}: shares "{modality.shares}", which is no modality with an encoder of '
                    "its own, or names an encoder beside it",
                    f"Known: {', '.join(modalities)}.",
                )
            if other.kind != modality.kind:
                raise RequestError(
                    f"{where}: reads {modality.reads}, and the encoder of {modality.shares} takes "
                    f"{other.kind}",
                    "Share an encoder between pictures, or between texts.",
                )


def _pairs(
    setting: str, given: tuple[str, ...], modalities: Mapping[str, ModalityConfig]
) -> tuple[Pair, ...]:
    pairs = []
    for text in given:
        a, colon, b = text.partition(":")
        if not colon or a == b or not {a, b} <= set(modalities):
            raise RequestError(
                f'{setting}: "{text}" is not two modalities A:B', f"Of {', '.join(modalities)}."
            )
        pairs.append((a, b))
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise RequestError(f"{setting}: a pair is named twice", "Name each once.")
    return tuple(pairs)
