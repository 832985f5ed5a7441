"""What a run needs before its first step: device, generators and threads, tokenizer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from geomclip.data.record import Corpus
from geomclip.data.splits import Splits
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig
from geomclip.train.run import TOKENIZER


def find_device(name: str) -> torch.device:
    """The torch device of that name. Raises RequestError where this machine has none."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise RequestError(
            f"device {name!r} can't be used: {reason}", "Use --device cpu."
        ) from None
    return device


@contextlib.contextmanager
def reproducible(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Threads and seeded generators as `config` says; the caller's are put back afterwards."""
    threads = torch.get_num_threads()
    forked = [device] if device.type == "cuda" else []
    torch.set_num_threads(config.threads)
    try:
        with torch.random.fork_rng(devices=forked):
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(threads)


def find_tokenizer(config: TrainConfig, out: Path, splits: Splits) -> Tokenizer:
    """The tokenizer of the run in `out`, or one trained on the training texts."""
    if (out / TOKENIZER).is_file():
        return Tokenizer.load(out / TOKENIZER)
    texts = vocabulary_texts(splits.train, splits.templates)
    return Tokenizer.train(texts, vocab_size=config.model.text.vocab_size)


def vocabulary_texts(corpus: Corpus, templates: tuple[str, ...]) -> list[str]:
    """What the tokenizer learns from: texts and labels of every item once, and the templates."""
    rows = {item: row for row, item in reversed(list(enumerate(corpus.ids)))}
    texts = [template.replace("{}", " ") for template in templates]
    for row in sorted(rows.values()):
        texts += [*corpus.texts[row], *corpus.paths[row]]
    return texts
