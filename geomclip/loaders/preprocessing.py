"""What a checkpoint says of its pictures: their normalisation and how they become square.

Read from and written to Hugging Face's `preprocessor_config.json` and open_clip's `preprocess_cfg`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from geomclip.data.fit import Fit
from geomclip.errors import RequestError
from geomclip.model import PIXEL_MEAN, PIXEL_STD, ContrastiveModel

Triple = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pillow's numbers, which Hugging Face's files hold.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
# open_clip's words.
_MODES = {"shortest": "crop", "longest": "letterbox", "squash": "squash"}


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation by channel, and how a picture becomes square."""

    mean: Triple
    std: Triple
    fit: Fit


OPENAI = Preprocessing(PIXEL_MEAN, PIXEL_STD, Fit("crop"))
IMAGENET = Preprocessing(IMAGENET_MEAN, IMAGENET_STD, Fit("crop"))
SIGLIP = Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), Fit("squash"))


def preprocessing_of(model: ContrastiveModel) -> Preprocessing:
    """How the model's pictures are made and normalised."""
    r, g, b = model.pixel_mean.flatten().tolist()
    sr, sg, sb = model.pixel_std.flatten().tolist()
    return Preprocessing((r, g, b), (sr, sg, sb), model.fit)


def from_hf(
    config: Mapping[str, Any], default: Preprocessing, size: int, where: str
) -> Preprocessing:
    """What a `preprocessor_config.json` says; the default where it is silent.

    Args:
        size: side of the pictures that the image tower takes, pixels.

    Raises:
        RequestError: it makes pictures of another size, or is not of that form.
    """
    if config.get("fit") == "letterbox":  # our own folders, for which there is no word in theirs
        fit = Fit("letterbox")
    else:
        fit = _hf_fit(config, default.fit, size, where)
    if "resample" in config:
        if config["resample"] not in _RESAMPLE:
            raise RequestError(
                f"{where}: resample is {config['resample']!r}",
                f"Known are {', '.join(f'{n} ({name})' for n, name in _RESAMPLE.items())}.",
            )
        fit = replace(fit, resample=_RESAMPLE[config["resample"]])  # type: ignore[arg-type]
    if config.get("do_normalize") is False:
        return Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit)
    return Preprocessing(
        _triple(config.get("image_mean", default.mean), "image_mean", where),
        _triple(config.get("image_std", default.std), "image_std", where),
        fit,
    )


def _hf_fit(config: Mapping[str, Any], default: Fit, size: int, where: str) -> Fit:
    asked, crop = config.get("size"), config.get("crop_size")
    crops = config.get("do_center_crop", default.kind == "crop")
    if isinstance(asked, int):  # older files; a number is the shorter side where they crop
        asked = {"shortest_edge": asked} if crops else {"height": asked, "width": asked}
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    asked = asked or ({"shortest_edge": size} if crops else {"height": size, "width": size})
    square = {"height": size, "width": size}
    if not crops and asked == square:
        return Fit("squash")
    shortest = asked.get("shortest_edge") if isinstance(asked, Mapping) else None
    if crops and isinstance(shortest, int) and shortest >= size and (crop or square) == square:
        return Fit("crop", resize=0 if shortest == size else shortest)
    raise RequestError(
        f"{where}: size {asked}, crop_size {crop} make no pictures of {size} x {size}, which the "
        "image tower takes",
        "Keep the configuration that came with the weights.",
    )


def to_hf(preprocessing: Preprocessing, size: int) -> dict[str, Any]:
    """preprocessor_config.json.

    Hugging Face has no word for a picture scaled into the square with a border: for `letterbox`
    `size` is the square, and `fit` and `background` say the rest.
    """
    fit = preprocessing.fit
    square = {"height": size, "width": size}
    sizes: dict[str, Any] = {"size": square, "do_center_crop": False}
    if fit.kind == "crop":
        sizes = {
            "size": {"shortest_edge": fit.resize or size},
            "do_center_crop": True,
            "crop_size": square,
        }
    elif fit.kind == "letterbox":
        sizes |= {"fit": "letterbox", "background": [255, 255, 255]}
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        **sizes,
        "resample": next(n for n, name in _RESAMPLE.items() if name == fit.resample),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }


def from_open_clip(config: Mapping[str, Any], where: str) -> Preprocessing:
    """What open_clip's `preprocess_cfg` says; OpenAI's where it is silent.

    Raises:
        RequestError: it is not of that form.
    """
    mode = config.get("resize_mode", "shortest")
    resample = config.get("interpolation", "bicubic")
    if mode not in _MODES or resample not in ("bicubic", "bilinear"):
        raise RequestError(
            f"{where}: pictures are resized by {mode!r} with {resample!r} pixels",
            f"Known are {', '.join(_MODES)}; bicubic, bilinear.",
        )
    return Preprocessing(
        _triple(config.get("mean", PIXEL_MEAN), "mean", where),
        _triple(config.get("std", PIXEL_STD), "std", where),
        Fit(_MODES[mode], resample=resample),  # type: ignore[arg-type]
    )


def to_open_clip(preprocessing: Preprocessing) -> dict[str, Any]:
    """preprocess_cfg."""
    fit = preprocessing.fit
    if fit.resize or fit.resample not in ("bicubic", "bilinear"):
        raise RequestError(
            f"open_clip has no words for pictures resized to {fit.resize} pixels before the crop, "
            f"{fit.resample}",
            "Export --to hf.",
        )
    return {
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "resize_mode": next(mode for mode, kind in _MODES.items() if kind == fit.kind),
        "interpolation": fit.resample,
        **({"fill_color": 255} if fit.kind == "letterbox" else {}),
    }


def _triple(values: Any, what: str, where: str) -> Triple:
    try:
        r, g, b = (float(value) for value in values)
    except (TypeError, ValueError):
        raise RequestError(
            f"{where}: {what} is {values!r}, not three numbers",
            "Keep the configuration that came with the weights.",
        ) from None
    return r, g, b
