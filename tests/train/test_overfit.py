"""The overfit check: always the same pairs, and a loss that falls to 0 where all is well."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from geomclip.data.stream import open_stream
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.train import train
from geomclip.train.config import from_toml
from geomclip.train.overfit import overfit_pairs, overfit_settings, verdict


def test_every_batch_holds_the_same_pairs_unchanged(small: SimpleNamespace, splits: Any) -> None:
    config = overfit_settings(small.config(overfit=12))
    tokenizer = Tokenizer.train([t for texts in splits.train.texts for t in texts], 600)
    stream = open_stream(config, splits, tokenizer)
    batches = [stream.next() for _ in range(3)]
    assert all(len(b.index) == 12 for b in batches)
    first: dict[int, Any] = {}
    for batch in batches:
        for i, pixels, ids in zip(
            batch.index.tolist(), batch.inputs["image"], batch.inputs["text"], strict=True
        ):
            before = first.setdefault(i, (pixels, ids))
            assert torch.equal(before[0], pixels) and torch.equal(before[1], ids)
    assert len(first) == 12


def test_pairs_have_different_captions(splits: Any) -> None:
    corpus = splits.train
    same = corpus.subset([0, 0, 1, len(corpus) - 1])
    pairs = overfit_pairs(same, 3)
    assert len(set(pairs.names)) == len(set(pairs.ids)) == 3
    assert all(len(texts) == 1 for texts in pairs.texts)
    with pytest.raises(RequestError, match=r"overfit 4 is more than .* 3 pictures with different"):
        overfit_pairs(same, 4)


def test_a_small_model_learns_a_few_pairs_by_heart(
    tmp_path: Path, small: SimpleNamespace, splits: Any
) -> None:
    config = small.config(overfit=8, steps=60, geometry="clip", lr=1e-2, checkpoint_every=60)
    result = train(config, tmp_path / "run", splits=splits)
    loss, chance = result.last["contrastive"], result.last["chance"]
    assert chance == pytest.approx(torch.tensor(8.0).log().item())
    assert loss < 0.1 * chance and "are learnt" in verdict(loss, chance, 8)
    assert "are not learnt" in verdict(0.2 * chance, chance, 8)
    saved = from_toml(tmp_path / "run" / "config.toml")
    assert (saved.overfit, saved.batch_size) == (8, 8) and overfit_settings(saved) == saved
