"""The raw-pixel reference against its definition in float64."""

import pytest
import torch

from geomclip.data.transforms import on_white
from geomclip.evaluate import nearest_pictures
from geomclip.evaluate import pixels as module
from geomclip.evaluate.pixels import share_of_same


def pictures(n, seed, side=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 4, side, side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("chunk", [7, 1024])
def test_nearest_is_the_smallest_squared_distance_on_white(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    queries, candidates = pictures(19, 0), pictures(40, 1)
    a, b = on_white(queries).double().flatten(1), on_white(candidates).double().flatten(1)
    expected = (a[:, None] - b[None]).square().sum(-1).argmin(1)
    assert torch.equal(nearest_pictures(queries, candidates), expected)


def test_near_equals_are_told_apart():
    # One step in one colour of one pixel of dark pictures: |q|^2 - 2 q.x + |x|^2 loses it.
    base = torch.zeros(1, 4, 32, 32, dtype=torch.uint8)
    base[:, 3] = 255
    candidates = base.repeat(3, 1, 1, 1)
    candidates[0, 0, 0, 0], candidates[2, 0, 0, 0] = 2, 1
    query = base.clone()
    assert nearest_pictures(query, candidates).item() == 1
    query[0, 0, 0, 0] = 2
    assert nearest_pictures(query, candidates).item() == 0


def test_transparent_pixels_are_white_whatever_their_colour():
    clear, white, black = (torch.zeros(1, 4, 4, 4, dtype=torch.uint8) for _ in range(3))
    white[:], black[:, 3] = 255, 255
    assert nearest_pictures(clear, torch.cat([black, white])).item() == 1


def test_share_of_same_labels():
    nearest = torch.tensor([0, 1, 1])
    assert share_of_same(nearest, ["a", "b", "a"], ["a", "b"]) == pytest.approx(2 / 3)


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="decode both to one size"):
        nearest_pictures(pictures(1, 0, 6), pictures(1, 0, 8))
