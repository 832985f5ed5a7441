"""`geomclip embed SOURCE --data PATH --out FILE`: embeddings of a data set, over many processes."""

import contextlib
import io
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from geomclip.cli.options import Common, CommonFlags, parse, replace, spell_out
from geomclip.cli.output import Output
from geomclip.cli.progress import INTERVAL, counting
from geomclip.cli.source import SourceOptions, is_embeddings, open_model, own_data, with_data
from geomclip.errors import RequestError
from geomclip.train.files import require_writable


@dataclass(frozen=True)
class EmbedOptions:
    """Embed every picture of --data, every distinct text and every label. Continues what an
    earlier call with the same settings left in FILE.parts; under torchrun the processes share the
    work."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")]
    """Run folder or checkpoint."""
    options: Annotated[SourceOptions, tyro.conf.arg(name="")] = field(default_factory=SourceOptions)
    out: Path = Path("embeddings.safetensors")
    """File to write: .safetensors, .npz, .parquet or .csv."""
    captions: Literal["auto", "all", "first"] = "auto"
    """Texts of a picture that are embedded; auto takes the first of emoji, whose others are
    keywords, and all of other data."""
    part: int = 4096
    """Pictures of a part, what is lost when a process is killed."""
    common: CommonFlags = field(default_factory=Common)


def run(argv: list[str]) -> int:
    """Parse, embed, report; of several processes rank 0 speaks, or the first that fails."""
    rank = int(os.environ.get("RANK", "0"))
    argv = spell_out(argv, EmbedOptions)
    with contextlib.redirect_stderr(sys.stderr if rank == 0 else io.StringIO()):
        options = parse(EmbedOptions, argv, prog="geomclip embed")
    if options.part < 1:
        raise RequestError(f"--part is {options.part}", "Give 1 or more.")
    output = Output(options.common if rank == 0 else replace(options.common, quiet=True))
    if is_embeddings(options.source):
        raise RequestError(
            f"{options.source} holds embeddings already", "Pass a run folder or a checkpoint."
        )

    from geomclip.embedding_files import check_suffix
    from geomclip.encode_parts import embed_to
    from geomclip.train.world import joined

    check_suffix(options.out, several=True)
    require_writable(options.out.parent)
    chosen = with_data(options.options, argv)
    data = own_data(options.source, argv) or chosen.data
    captions = options.captions
    if captions == "auto":
        captions = "first" if data.source == "emoji" else "all"
    with joined(chosen.device) as world:
        model = open_model(options.source, replace(chosen, device=str(world.device)))
        with counting(output, f"reading {data.source}") as count:
            made = embed_to(
                model, data, options.out, world,
                source=str(options.out), captions=captions, batch_size=chosen.batch_size,
                part=options.part, opening=count, progress=Counter(output),
            )  # fmt: skip
    if made is not None:
        output.result(made.to_dict() | {"out": str(options.out)}, str(options.out))
        output.note(f"Next: geomclip analyze {options.out}")
    return 0


class Counter:
    """Pictures done of those to do, with the time left; a line every ten seconds."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last < INTERVAL or not done:
            return
        self.last = now
        left = (now - self.start) / done * (total - done)
        rate = done / (now - self.start)
        self.output.note(
            f"{done:,} of {total:,} pictures, {rate:,.0f} a second, {left / 60:.0f} min left"
        )
