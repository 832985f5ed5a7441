"""The HierarCaps protocol on a case worked by hand, against a plain loop, and its files."""

import numpy as np
import pytest
import torch

import geomclip
from geomclip.errors import RequestError
from geomclip.evaluate.hierarcaps import (
    Chains,
    hierarcaps,
    longest_run,
    predictions,
    read_hierarcaps,
)

HEADER = "id,captions,image_url\n"
URL = "http://images.example.org/val2014/COCO_val2014_"


def test_a_file_is_read_with_its_pictures_once(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text(
        f'{HEADER}0,bird => blue bird,{URL}1.jpg\n1,"man, oven => a man",{URL}2.jpg\n'
        f"2,animal => bird,{URL}1.jpg\n"
    )
    chains = read_hierarcaps(path)
    assert chains.images == ("COCO_val2014_1.jpg", "COCO_val2014_2.jpg")
    assert chains.texts[1] == ("man, oven", "a man") and chains.levels == 2
    assert chains.image.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a,b\n1,2\n", "no column captions"),
        (HEADER, "has no rows"),
        (f"{HEADER}0,bird,{URL}1.jpg\n", "row 2: 'bird' is no chain"),
        (f"{HEADER}0,a => b,{URL}1.jpg\n1,a => b => c,{URL}1.jpg\n", "row 3: 3 texts, row 2 has 2"),
        (f"{HEADER}0,a => ,{URL}1.jpg\n", "no chain of texts"),
        (f"{HEADER}0,a => b,\n", "row 2: no image_url"),
    ],
)
def test_what_is_wrong_has_a_row(tmp_path, text, what):
    path = tmp_path / "test.csv"
    path.write_text(text)
    with pytest.raises(RequestError) as error:
        read_hierarcaps(path)
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("levels", "longest"),
    [([], 0), ([2], 1), ([0, 1, 2, 3], 4), ([0, 0, 1], 2), ([3, 2, 1, 0], 1), ([1, 3, 0, 1, 2], 3)],
)
def test_the_longest_run_of_ascending_levels(levels, longest):
    assert longest_run(levels) == longest


def test_a_plane_worked_by_hand():
    # Texts on two rays at distances 1, 2, 3; a picture at the end of each ray.
    g = geomclip.build_geometry("euclidean", 2).double()
    east = torch.tensor([[1.0, 0], [2, 0], [3, 0]]).double()
    north = east.flip(1) + torch.tensor([0.0, 0.01])
    images = torch.tensor([[4.0, 0], [0, 4]]).double()
    chains = Chains(("e", "n"), (("a", "b", "c"), ("d", "e", "f")), np.array([0, 1]))
    found = hierarcaps(g, images, torch.stack([east, north]), chains)
    assert found.recall.value == 1 and found.order.value == 1 and found.d_corr.value == 1
    # At the smallest radius only "a" can be said: right for the first, wrong for the second.
    assert found.precision.value == pytest.approx((1 + 3 / 4) / 2)
    reverse = hierarcaps(g, images, torch.stack([east, north]).flip(1), chains)
    assert reverse.d_corr.value == -1


@pytest.mark.parametrize("name", ["clip", "euclidean-squared", "hyperbolic"])
def test_predictions_are_those_of_a_plain_loop(name):
    g = geomclip.build_geometry(name, 5).double()
    generator = torch.Generator().manual_seed(2)
    images = g.lift(torch.randn(7, 5, generator=generator).double(), "image")
    texts = g.lift(torch.randn(30, 5, generator=generator).double(), "text")
    root = texts[4]
    radii = (texts - root).norm(dim=1) if name == "clip" else g.manifold.dist(root, texts)
    found = predictions(g, images, texts, radii.detach(), steps=50)
    scores = g.score(images, texts)
    for s, level in enumerate(np.linspace(radii.min().item(), radii.max().item(), 50)):
        inside = (radii <= level).nonzero().squeeze(1)
        assert (found[:, s] == inside[scores[:, inside].argmax(1)].numpy()).all()


def test_clip_from_the_empty_text_and_the_null():
    g = geomclip.build_geometry("clip", 8).double()
    generator = torch.Generator().manual_seed(0)
    root = g.lift(torch.randn(8, generator=generator).double(), "text")
    direction = torch.randn(40, 1, 8, generator=generator).double()
    steps = torch.linspace(0.3, 2, 4).double()[:, None]
    texts = g.lift(root + steps * direction, "text")
    images = g.lift(root + 2.5 * direction[:, 0], "image")
    chains = Chains(
        tuple(f"{i}.jpg" for i in range(40)),
        tuple(tuple(f"{i} {level}" for level in range(4)) for i in range(40)),
        np.arange(40),
    )
    found = hierarcaps(g, images, texts, chains, root)
    assert found.d_corr.value > 0.9 and abs(found.d_corr.null) < 0.15
    assert found.recall.value > 0.45 > 5 * found.recall.null
    assert found.recall.beyond_chance > 5
    with pytest.raises(geomclip.GeomclipError, match="has not been set"):
        hierarcaps(g, images, texts, chains)


def test_a_model_is_asked_on_files(tmp_path, emoji, untrained):
    from PIL import Image

    from geomclip.evaluate.hierarcaps import hierarcaps_of

    corpus = emoji.train
    rows = []
    for i in range(6):
        Image.fromarray(corpus.images[i].permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
        chain = " => ".join([*corpus.paths[i][:2], corpus.names[i] + " emoji"])
        rows.append(f'{i},"{chain}",{URL.rpartition("/")[0]}/{i}.png')
    path = tmp_path / "test.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    found = hierarcaps_of(untrained("meru"), path, tmp_path)
    assert set(found) == {"own", "mean", "empty"}
    assert found["own"].precision.n == 6 and 0 <= found["own"].recall.value <= 1
    (tmp_path / "3.png").unlink()
    with pytest.raises(RequestError, match=r"lacks 1 of 6 pictures, 3\.png"):
        hierarcaps_of(untrained("meru"), path, tmp_path)
    (tmp_path / "3.png").write_text("no picture")
    with pytest.raises(RequestError, match=r"3\.png: not a picture"):
        hierarcaps_of(untrained("meru"), path, tmp_path)
