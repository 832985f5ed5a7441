"""Models of published sizes with random weights: geomclip's features against the original code's.

    pip install transformers open_clip_torch timm
    python experiments/loaders/against.py --into docs/loaders.md

Each model is built by its own library, saved, read by `geomclip.load`, compared, exported, and the
export read by its own library again. Writes the table between the page's marks.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

import geomclip
from geomclip.loaders.to_hf import write_hf
from geomclip.loaders.to_openclip import write_openclip

sys.path.insert(0, str(Path(__file__).parents[1]))
from tables import write_between

TEXTS = ["a photo of a dog", "Two   CATS &amp; 3 'birds' don't; naïve café", "x " * 100]
Features = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """One model: a folder that holds it, and how its own library computes and opens.

    Args:
        features: normalised pixels and ids to (image, text) features.
        opened: the same, of a folder that we exported; None where we write no such layout.
        ids: the library's own ids of texts; None where there is no vocabulary at hand.
    """

    name: str
    features: Features
    opened: Callable[[Path], Features] | None
    export: Callable[[geomclip.ContrastiveModel, Path], list[str]]
    ids: Callable[[list[str]], Tensor] | None = None


def shaken(model: nn.Module) -> nn.Module:
    """Every parameter moved, so that norms and biases count."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return model.eval()


def of_open_clip(folder: Path) -> Iterator[Case]:
    import open_clip
    from open_clip.factory import get_model_config

    def features(model: nn.Module) -> Features:
        return lambda pixels, ids: (model.encode_image(pixels), model.encode_text(ids))

    cases = [
        ("ViT-B-32", {}), ("ViT-B-32-quickgelu", {}), ("ViT-S-16", {}), ("ViT-L-14", {}),
        ("ViT-B-16", {"custom_text": True, "init_logit_bias": -10.0}), ("ViT-H-14", {"layers": 2}),
    ]  # fmt: skip
    for name, more in cases:
        config = get_model_config(name) | more
        layers = config.pop("layers", None)
        for tower in ("vision_cfg", "text_cfg"):
            config[tower] |= {} if layers is None else {"layers": layers}
        kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
        torch.manual_seed(0)
        model = shaken(kind(**config))
        torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
        beside = {"model_cfg": config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(beside))
        yield Case(
            f"open_clip {version('open_clip_torch')}: {name}"
            + (", custom text, bias" if more.get("custom_text") else "")
            + (f", {layers} blocks" if layers else ""),
            features(model),
            lambda out: features(open_clip.create_model(f"local-dir:{out}").eval()),
            write_openclip,
            open_clip.SimpleTokenizer(context_length=77),
        )


def of_transformers(folder: Path) -> Iterator[Case]:
    import transformers

    def features(model: nn.Module) -> Features:
        return lambda pixels, ids: (
            model.get_image_features(pixels).pooler_output,
            model.get_text_features(ids).pooler_output,
        )

    for kind, config in (("CLIPModel", "CLIPConfig"), ("SiglipModel", "SiglipConfig")):
        torch.manual_seed(0)
        model_class = getattr(transformers, kind)
        model = shaken(model_class(getattr(transformers, config)()))
        model.save_pretrained(folder)

        def opened(out: Path, model_class: type = model_class) -> Features:
            return features(model_class.from_pretrained(out).eval())

        yield Case(
            f"transformers {version('transformers')}: {kind}, base size",
            features(model), opened, write_hf,
        )  # fmt: skip


def of_meru(folder: Path) -> Iterator[Case]:
    """MERU's towers from the libraries that they are made of: timm's image tower, a text tower
    like open_clip's, projections beside them."""
    import open_clip
    import timm

    torch.manual_seed(0)
    visual = shaken(
        timm.create_model("vit_base_patch16_224", num_classes=0, norm_layer=nn.LayerNorm)
    )
    clip = shaken(open_clip.CLIP(**open_clip.factory.get_model_config("ViT-B-16")))
    names = {"token_embedding.": "token_embed.", "positional_embedding": "posit_embed",
             "transformer.": "", "ln_final.": "ln_final."}  # fmt: skip
    projection = torch.randn(512, 768) * 768**-0.5
    state = {
        **{f"visual.{name}": tensor for name, tensor in visual.state_dict().items()},
        **{
            f"textual.{ours}{name.removeprefix(theirs)}": tensor
            for name, tensor in clip.state_dict().items()
            for theirs, ours in names.items()
            if name.startswith(theirs)
        },
        "visual_proj.weight": projection,
        "textual_proj.weight": clip.text_projection.T,
        **{name: torch.tensor(-1.0) for name in ("visual_alpha", "textual_alpha", "curv")},
        "logit_scale": torch.tensor(2.0),
    }
    torch.save({"model": state}, folder / "meru.pth")
    yield Case(
        f"timm {version('timm')} and open_clip: MERU, ViT-B-16",
        lambda pixels, ids: (visual(pixels) @ projection.T, clip.encode_text(ids)),
        None, write_hf, open_clip.SimpleTokenizer(context_length=77),
    )  # fmt: skip


@torch.no_grad()
def row(case: Case, folder: Path) -> list[str]:
    """The cells of one case."""
    model = geomclip.load(folder)
    generator = torch.Generator().manual_seed(2)
    pixels = torch.rand(2, 3, model.image_size, model.image_size, generator=generator)
    normal = (pixels - model.pixel_mean) / model.pixel_std
    if case.ids is None:
        ids = torch.randint(3, 1000, (3, model.context_length), generator=generator)
        ids[:, -3] = 49407 if model.encoders["text"].mask is not None else 1  # the end
        same_ids = "-"
    else:
        ids = case.ids(TEXTS)
        same_ids = "yes" if torch.equal(model.tokenizer(TEXTS, model.context_length), ids) else "no"
    theirs = case.features(normal, ids)
    ours = model.image_features(pixels), model.text_features(ids)
    again = ["-", "-"]
    if case.opened is not None:
        with tempfile.TemporaryDirectory() as place:
            case.export(model, Path(place) / "out")
            again = differences(case.opened(Path(place) / "out")(normal, ids), theirs)
    return [
        case.name,
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f}M",
        f"{theirs[0].abs().max():.1f}, {theirs[1].abs().max():.1f}",
        *differences(ours, theirs),
        same_ids,
        *again,
    ]


def differences(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> list[str]:
    """Largest difference of the image features, and of the text features."""
    found = [(x - y).abs().max().item() for x, y in zip(a, b, strict=True)]
    return [f"{value:.1e}" if value else "0" for value in found]


def main() -> None:
    """Run all cases, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, required=True, help="page with the marks of `loaders`")
    into = parser.parse_args().into
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    head = [
        "model",
        "size",
        "largest feature",
        "image",
        "text",
        "same ids",
        "export, image",
        "text",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for cases in (of_open_clip, of_transformers, of_meru):
        with tempfile.TemporaryDirectory() as place:
            for case in cases(Path(place)):
                lines.append("| " + " | ".join(row(case, Path(place))) + " |")
                print(lines[-1], file=sys.stderr, flush=True)
    write_between(into, "loaders", "\n".join(lines))


if __name__ == "__main__":
    main()
