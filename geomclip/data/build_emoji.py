"""Rebuild the embedded emoji set: `python -m geomclip.data.build_emoji --cache DIR [--out DIR]`.

Every drawing is rasterised at 256 x 256, reduced to 32 x 32 (Lanczos), quantised to 64 colours with
alpha and written as an optimised PNG, beside a JSON of its name, keywords, group and subgroup: one
webdataset shard (`.tar.gz`) a vendor. The bytes depend on the inputs and on the versions of the
tools, which manifest.json records. Needs the extra `build`, npm, apt-get and dpkg-deb.
"""

import argparse
import gzip
import hashlib
import io
import json
import sys
import tarfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geomclip.data.build_sources import (
    ARTWORK,
    EMOJI_TEST,
    HIERARCHY,
    KEYWORDS,
    Emoji,
    Icon,
    IconSet,
    Package,
    fetch,
    load_emoji_list,
    read_member,
)
from geomclip.errors import GeomclipError, RequestError

SIZE = 32
CANVAS = 256
COLOURS = 64


def rasterise(icon: Icon) -> bytes:
    """An icon as PNG bytes: 32 x 32, a palette of at most 64 colours with alpha."""
    import resvg_py
    from PIL import Image

    # System fonts would make the result depend on the machine.
    png = resvg_py.svg_to_bytes(
        svg_string=icon.svg, width=CANVAS, height=CANVAS, skip_system_fonts=True
    )
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    if icon.mirror_x:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if icon.mirror_y:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if icon.quarter_turns:
        image = image.rotate(-90 * icon.quarter_turns)
    image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    # FASTOCTREE is the one method of Pillow that keeps alpha.
    image = image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def write_shard(path: Path, samples: Sequence[tuple[Emoji, bytes]]) -> None:
    """A webdataset shard whose bytes depend on the samples only: it records no times and owners."""
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for emoji, png in samples:
            text = json.dumps(emoji.to_dict(), ensure_ascii=False).encode("utf-8")
            for suffix, data in (("png", png), ("json", text)):
                member = tarfile.TarInfo(f"{emoji.id}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    path.write_bytes(gzip.compress(tar_bytes.getvalue(), compresslevel=9, mtime=0))


def build(out: Path, cache: Path, workers: int = 2) -> dict[str, Any]:
    """Write the five shards and manifest.json into `out`; returns the manifest."""
    _need_resvg()
    emoji = load_emoji_list(cache)
    out.mkdir(parents=True, exist_ok=True)
    shards = {}
    with ProcessPoolExecutor(workers) as pool:
        for rendition, package in ARTWORK.items():
            icons = IconSet.read(fetch(package, cache))
            drawn = [(e, icon) for e in emoji if (icon := icons.find(e)) is not None]
            pngs = list(pool.map(rasterise, (icon for _, icon in drawn), chunksize=32))
            path = out / f"{rendition}.tar.gz"
            write_shard(path, list(zip((e for e, _ in drawn), pngs, strict=True)))
            shards[rendition] = {
                "file": path.name,
                "images": len(drawn),
                "bytes": path.stat().st_size,
                "sha256": _sha256(path.read_bytes()),
            }
            print(f"{path}: {len(drawn)} images, {path.stat().st_size} bytes", file=sys.stderr)
    emoji_test = read_member(fetch(HIERARCHY, cache), EMOJI_TEST)
    manifest = {
        "emoji": len(emoji),
        "subgroups": len({e.subgroup for e in emoji}),
        "groups": len({e.group for e in emoji}),
        "size": SIZE,
        "colours": COLOURS,
        "shards": shards,
        "inputs": {
            "names and hierarchy": _input(HIERARCHY)
            | {"member": EMOJI_TEST, "member_sha256": _sha256(emoji_test)},
            "keywords": _input(KEYWORDS),
            **{rendition: _input(package) for rendition, package in ARTWORK.items()},
        },
        "tools": {
            "resvg_py": version("resvg_py"),
            "pillow": version("pillow"),
            "zlib": zlib.ZLIB_RUNTIME_VERSION,
        },
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (out / "manifest.json").write_text(text, encoding="utf-8")
    return manifest


def _input(package: Package) -> dict[str, str]:
    return {
        "package": package.name,
        "version": package.version,
        "file": package.file,
        "sha256": package.sha256,
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _need_resvg() -> None:
    try:
        import resvg_py  # noqa: F401
    except ImportError as error:
        raise RequestError(
            "rebuilding the emoji set needs resvg_py, which is not installed",
            "Install the extra: pip install 'geomclip[build]'.",
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code (1: the work failed, 2: the request was wrong)."""
    parser = argparse.ArgumentParser(
        prog="python -m geomclip.data.build_emoji", description=__doc__
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "emoji", help="where the shards go"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("build/emoji"),
        help="where the packages are fetched to, or already lie",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that rasterise")
    args = parser.parse_args(argv)
    try:
        build(args.out, args.cache, args.workers)
    except GeomclipError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
