"""What a run needs before its first step: generators and threads, tokenizer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from geomclip.data.record import Corpus
from geomclip.data.splits import Splits
from geomclip.data.tokenizer import Tokenizer
from geomclip.errors import RequestError
from geomclip.train.config import TrainConfig
from geomclip.train.run import TOKENIZER


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


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch's generators for what a tower draws (dropout) at a step, counted from 0.

    A function of its arguments alone: a resumed run needs no state of generators, with whatever
    number of processes it goes on.
    """
    mixed = np.random.SeedSequence((seed, 2, step, rank)).generate_state(1, np.uint64)
    number = int(mixed[0]) >> 1
    # torch.manual_seed also writes down, with a stack trace, what to do should CUDA come up later.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)


def find_tokenizer(config: TrainConfig, out: Path, splits: Splits) -> Tokenizer:
    """The tokenizer of the run in `out`, that of `config`'s file, or one trained on the texts.

    Raises RequestError where the file can't be read, or has not `config`'s number of entries.
    """
    text = config.model.text
    if (out / TOKENIZER).is_file():
        return Tokenizer.load(out / TOKENIZER)
    if text.tokenizer:
        tokenizer = Tokenizer.read(Path(text.tokenizer), vocab_size=text.vocab_size)
        if tokenizer.vocab_size != text.vocab_size:
            raise RequestError(
                f"{text.tokenizer} has {tokenizer.vocab_size} entries, model.text.vocab_size is "
                f"{text.vocab_size}",
                f"Give --model.text.vocab-size {tokenizer.vocab_size}.",
            )
        return tokenizer
    texts = vocabulary_texts(splits.train, splits.templates)
    return Tokenizer.train(texts, vocab_size=config.model.text.vocab_size)


def vocabulary_texts(corpus: Corpus, templates: tuple[str, ...]) -> list[str]:
    """What the tokenizer learns from: texts and labels of every item once, and the templates."""
    rows = {item: row for row, item in reversed(list(enumerate(corpus.ids)))}
    texts = [template.replace("{}", " ") for template in templates]
    for row in sorted(rows.values()):
        texts += [*corpus.texts[row], *corpus.paths[row]]
    return texts
