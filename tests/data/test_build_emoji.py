"""The script that rebuilds the emoji set: each step on small inputs; the whole of it is `slow`."""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geomclip.data import build_emoji, build_sources
from geomclip.data.build_sources import (
    Emoji,
    Icon,
    IconSet,
    Package,
    add_keywords,
    fetch,
    hex_name,
    parse_emoji_test,
    read_member,
    slug,
)
from geomclip.data.emoji import FOLDER, MANIFEST
from geomclip.errors import GeomclipError, RequestError

EMOJI_TEST = """\
# group: People & Body
# subgroup: person
1F468                 ; fully-qualified     # 👨 E0.6 man
1F468 1F3FB           ; fully-qualified     # 👨🏻 E1.0 man: light skin tone
1F468 200D 1F9B0      ; fully-qualified     # 👨‍🦰 E11.0 man: red hair
# subgroup: heart
2764 FE0F             ; fully-qualified     # ❤️ E0.6 red heart
2764                  ; unqualified         # ❤ E0.6 red heart
# group: Flags
# subgroup: flag
1F3F4                 ; fully-qualified     # 🏴 E1.0 black flag
# subgroup: country-flag
1F1E6 1F1E8           ; fully-qualified     # 🇦🇨 E2.0 flag: Ascension Island
"""

MAN = Emoji((0x1F468,), "man", "People & Body", "person")
HEART = Emoji((0x2764, 0xFE0F), "red heart", "People & Body", "heart")
FLAG = Emoji((0x1F3F4,), "black flag", "Flags", "flag")
RED_HAIR = Emoji((0x1F468, 0x200D, 0x1F9B0), "man: red hair", "People & Body", "person")


def test_only_qualified_emoji_without_skin_tones_and_country_flags_are_kept():
    assert parse_emoji_test(EMOJI_TEST) == [MAN, RED_HAIR, HEART, FLAG]
    assert [e.id for e in (HEART, RED_HAIR)] == ["2764-fe0f", "1f468-200d-1f9b0"]
    assert hex_name((0x23, 0xFE0F)) == "0023-fe0f"


def test_keywords_are_the_annotations_or_those_of_the_parts():
    annotations = {
        "👨": {"default": ["adult", "Man", "bro"]},
        "🦰": {"default": ["hair", "red", "adult"]},
        "❤": {"default": ["heart", "Love"]},
    }
    man, red_hair, heart, flag = add_keywords([MAN, RED_HAIR, HEART, FLAG], annotations)
    assert man.keywords == ("adult", "bro")
    assert heart.keywords == ("heart", "love")
    assert red_hair.keywords == ("adult", "man", "bro", "hair", "red")
    assert flag.keywords == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grinning face", "grinning-face"),
        ("woman’s hat", "womans-hat"),
        ("keycap: *", "keycap-asterisk"),
        ("keycap: #", "keycap-hash"),
        ("Japanese “open for business” button", "japanese-open-for-business-button"),
        ("piñata", "pinata"),
        ("family: man, woman, boy", "family-man-woman-boy"),
    ],
)
def test_slugs_are_iconifys(name, expected):
    assert slug(name) == expected


def test_icons_are_found_by_code_points_or_by_slug():
    icons = {
        "width": 8,
        "height": 8,
        "icons": {"red-heart": {"body": "<heart/>"}, "wide": {"body": "<w/>", "width": 16}},
        "aliases": {
            "man": {"parent": "turned", "hFlip": True},
            "turned": {"parent": "red-heart", "rotate": 3, "hFlip": True, "vFlip": True},
            "dangling": {"parent": "nothing"},
        },
    }
    by_code = IconSet(icons, {"2764": "red-heart", "1f3f4": "wide", "1f468": "dangling"})
    assert by_code.find(HEART) == Icon(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'width="256" height="256" viewBox="0 0 8 8"><heart/></svg>'
    )
    wide = by_code.find(FLAG)
    assert wide is not None and 'viewBox="0 0 16 8"' in wide.svg
    assert by_code.find(MAN) is None and by_code.find(RED_HAIR) is None
    man = IconSet(icons, {}).find(MAN)
    assert man is not None and (man.mirror_x, man.mirror_y, man.quarter_turns) == (False, True, 3)


# ---- pictures

CORNER = '<rect width="16" height="16" fill="#0c0"/>'


def corner(**turns: object) -> list[str]:
    """Which quarter of the canvas a drawing of the upper left quarter ends up in."""
    icon = Icon(
        '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256" viewBox="0 0 32 32">'
        f"{CORNER}</svg>",
        **turns,
    )
    image = Image.open(io.BytesIO(build_emoji.rasterise(icon)))
    assert image.mode == "P" and image.size == (32, 32)
    pixels = np.asarray(image.convert("RGBA"))
    quarters = {
        "upper left": pixels[2:14, 2:14],
        "upper right": pixels[2:14, 18:30],
        "lower left": pixels[18:30, 2:14],
        "lower right": pixels[18:30, 18:30],
    }
    for quarter in quarters.values():
        # A palette entry is the mean of near colours: alpha 255 may become 248, and 0 may become 7.
        far = np.abs(quarter.astype(int) - [0, 204, 0, 255]).max()
        assert far <= 8 or (quarter[..., 3] < 8).all()
    return [name for name, q in quarters.items() if (q[..., 3] > 247).all()]


def test_drawings_are_rasterised_mirrored_and_turned():
    pytest.importorskip("resvg_py", reason="the extra `build` is not installed")
    assert corner() == ["upper left"]
    assert corner(mirror_x=True) == ["upper right"]
    assert corner(mirror_y=True) == ["lower left"]
    assert corner(quarter_turns=1) == ["upper right"]
    assert corner(quarter_turns=3) == ["lower left"]
    assert corner(mirror_x=True, quarter_turns=1) == ["lower right"]


def test_drawings_that_are_not_square_are_letterboxed():
    pytest.importorskip("resvg_py", reason="the extra `build` is not installed")
    icons = {"icons": {"man": {"body": '<rect width="16" height="8"/>', "width": 16, "height": 8}}}
    icon = IconSet(icons, {}).find(MAN)
    assert icon is not None
    alpha = np.asarray(Image.open(io.BytesIO(build_emoji.rasterise(icon))).convert("RGBA"))[..., 3]
    assert (alpha[9:23] > 247).all() and (alpha[[*range(7), *range(25, 32)]] < 8).all()


def test_shards_depend_on_their_samples_only(tmp_path):
    for name in ("one.tar.gz", "two.tar.gz"):
        build_emoji.write_shard(tmp_path / name, [(HEART, b"png"), (MAN, b"PNG")])
    data = (tmp_path / "one.tar.gz").read_bytes()
    assert data == (tmp_path / "two.tar.gz").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        assert tar.getnames() == ["2764-fe0f.png", "2764-fe0f.json", "1f468.png", "1f468.json"]
        file = tar.extractfile("2764-fe0f.json")
        assert file is not None and json.load(file) == {
            "id": "2764-fe0f", "name": "red heart", "keywords": [], "group": "People & Body",
            "subgroup": "heart",
        }  # fmt: skip


# ---- fetching


def package_in(folder: Path, data: bytes) -> Package:
    (folder / "a.tgz").write_bytes(data)
    return Package("npm", "a", "1.0", "a.tgz", hashlib.sha256(data).hexdigest())


def test_a_cached_package_is_checked(tmp_path):
    package = package_in(tmp_path, b"right")
    assert fetch(package, tmp_path) == tmp_path / "a.tgz"
    (tmp_path / "a.tgz").write_bytes(b"wrong")
    with pytest.raises(GeomclipError, match=r"sha256 is [0-9a-f]{64}, expected(.|\n)*Delete it"):
        fetch(package, tmp_path)


def test_members_are_read(tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("package/x")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    assert read_member(tmp_path / "a.tgz", "package/x") == b"abc"


def test_a_missing_tool_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="needs npm, which is not on PATH"):
        fetch(build_sources.KEYWORDS, tmp_path)
    with pytest.raises(RequestError, match=r"needs apt-get(.|\n)*unicode-data_15"):
        fetch(build_sources.HIERARCHY, tmp_path)


def test_a_failing_download_gives_the_command_and_its_reason(tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'no such version' >&2; exit 1\n", encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(
        GeomclipError, match=r"npm pack --silent cldr-annotations-full@48\.2\.0` failed: no such"
    ):
        fetch(build_sources.KEYWORDS, tmp_path / "cache")


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert build_emoji.main(["--out", str(tmp_path), "--cache", str(tmp_path)]) == 2
    assert "geomclip[build]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_records_the_pinned_inputs():
    packages = [build_sources.HIERARCHY, build_sources.KEYWORDS, *build_sources.ARTWORK.values()]
    assert [(i["package"], i["version"], i["sha256"]) for i in MANIFEST["inputs"].values()] == [
        (p.name, p.version, p.sha256) for p in packages
    ]


@pytest.mark.slow
def test_a_rebuild_gives_the_same_bytes(tmp_path):
    for tool in ("npm", "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    pytest.importorskip("resvg_py", reason="the extra `build` is not installed")
    subprocess.run(
        [sys.executable, "-m", "geomclip.data.build_emoji", "--out", tmp_path / "out",
         "--cache", tmp_path / "cache"],
        check=True,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "out/manifest.json").read_text(encoding="utf-8"))
    if manifest["tools"] != MANIFEST["tools"]:
        pytest.skip(f"other tools than {MANIFEST['tools']}: the bytes may differ")
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name
