"""The root of geometries without an origin: the normalised mean of what the model embeds."""

import torch

from geomclip.data.record import Corpus
from geomclip.data.transforms import on_white
from geomclip.model import ContrastiveModel
from geomclip.train.world import World


@torch.no_grad()
def update_root(
    model: ContrastiveModel, corpus: Corpus, world: World, *, batch_size: int = 256
) -> None:
    """Set `geometry.root` from every picture of `corpus`, without augmentation, and its name.

    Each process embeds its part. Geometries that are rooted in the origin are left alone.
    """
    if model.geometry.spec.root != "mean":
        return
    device = model.pixel_mean.device
    training = model.training
    model.eval()
    try:
        mine = slice(world.rank, None, world.size)
        pictures, shown = corpus.images[mine], corpus.names[mine]
        images = [
            model.encode_image(on_white(pictures[i : i + batch_size]).to(device))
            for i in range(0, len(shown), batch_size)
        ]
        # Renditions share their name: each is encoded once and counted as often as it is shown.
        names = sorted(set(shown))
        place = {name: i for i, name in enumerate(names)}
        texts = torch.cat(
            [model.encode_text(names[i : i + batch_size]) for i in range(0, len(names), batch_size)]
        )
        rows = torch.tensor([place[name] for name in shown], device=device)
        model.geometry.set_root_(torch.cat(images), texts[rows], add_up=world.sum_)
    finally:
        model.train(training)
