"""The sources of the embedded emoji set: fetched by package name, checked, parsed. Build time only.

Artwork comes from the Iconify JSON packages, which hold one vendor each in one layout: `icons.json`
(the body of every SVG, and aliases that may turn or mirror it) and, for the sets in use today,
`chars.json` (code points -> icon name). Names and hierarchy are those of Unicode's emoji-test.txt,
keywords those of CLDR's English annotations.
"""

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomclip.errors import GeomclipError, RequestError


@dataclass(frozen=True)
class Package:
    """One input file: the package it comes from, pinned, and the sha256 of the file as fetched."""

    tool: str  # "npm" or "apt-get"
    name: str
    version: str
    file: str
    sha256: str


# One vendor's artwork a row, by the name of the rendition.
ARTWORK = {
    "noto": Package(
        "npm",
        "@iconify-json/noto",
        "1.2.9",
        "iconify-json-noto-1.2.9.tgz",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    "noto-v1": Package(
        "npm",
        "@iconify-json/noto-v1",
        "1.2.5",
        "iconify-json-noto-v1-1.2.5.tgz",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    ),
    "fluent": Package(
        "npm",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "iconify-json-fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    # 2.3, the last version of this art under CC BY 4.0.
    "emojione": Package(
        "npm",
        "@iconify-json/emojione",
        "1.2.3",
        "iconify-json-emojione-1.2.3.tgz",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    ),
    "twemoji": Package(
        "npm",
        "@iconify-json/twemoji",
        "1.2.5",
        "iconify-json-twemoji-1.2.5.tgz",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    ),
}

KEYWORDS = Package(
    "npm",
    "cldr-annotations-full",
    "48.2.0",
    "cldr-annotations-full-48.2.0.tgz",
    "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
)

HIERARCHY = Package(
    "apt-get",
    "unicode-data",
    "15.0.0-1",
    "unicode-data_15.0.0-1_all.deb",
    "5efef23bbb1c6a133ecbdd63a2cfa07159ccacf5466a49e2426101c5ecd691fc",
)

EMOJI_TEST = "./usr/share/unicode/emoji/emoji-test.txt"

# Vendors draw nearly the same flag, and two of them draw none; disputed territories do not belong
# in a default data set.
DROPPED_SUBGROUPS = ("country-flag", "subdivision-flag")
SKIN_TONES = range(0x1F3FB, 0x1F400)
VARIATION_SELECTOR = 0xFE0F
JOINER = 0x200D


@dataclass(frozen=True)
class Emoji:
    """One emoji of Unicode's list, with its keywords. `id` is its code points in hexadecimal."""

    codes: tuple[int, ...]
    name: str
    group: str
    subgroup: str
    keywords: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return hex_name(self.codes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "keywords": list(self.keywords),
            "group": self.group,
            "subgroup": self.subgroup,
        }


def hex_name(codes: tuple[int, ...]) -> str:
    """Code points as lower-case hexadecimal of at least four digits: 1f468-200d-1f373."""
    return "-".join(f"{code:04x}" for code in codes)


# ---- fetching


def fetch(package: Package, cache: Path) -> Path:
    """The package's file in `cache`, fetched first if it is not there.

    Raises GeomclipError where it can't be fetched or its sha256 differs.
    """
    path = cache / package.file
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _download(package, cache)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise GeomclipError(
            f"{path}: sha256 is {digest}, expected {package.sha256}",
            f"Delete it and try again; {package.name} {package.version} may have been replaced.",
        )
    return path


def _download(package: Package, cache: Path) -> None:
    if shutil.which(package.tool) is None:
        raise RequestError(
            f"fetching {package.name} needs {package.tool}, which is not on PATH",
            f"Install it, or put {package.file} into {cache} yourself.",
        )
    if package.tool == "npm":
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        command = ["apt-get", "download", f"{package.name}={package.version}"]
    done = subprocess.run(command, cwd=cache, capture_output=True, text=True)
    if done.returncode != 0 or not (cache / package.file).exists():
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise GeomclipError(
            f"`{' '.join(command)}` failed: {reason[-1] if reason else f'exit {done.returncode}'}",
            f"Fetch {package.file} another way and put it into {cache}.",
        )


def read_member(archive: Path, member: str) -> bytes:
    """One file of an npm package (.tgz) or of a Debian package (.deb, opened by dpkg-deb)."""
    if archive.suffix == ".deb":
        if shutil.which("dpkg-deb") is None:
            raise RequestError(
                f"reading {archive.name} needs dpkg-deb, which is not on PATH", "Install dpkg."
            )
        data = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], capture_output=True, check=True
        ).stdout
        tar = tarfile.open(fileobj=io.BytesIO(data))
    else:
        tar = tarfile.open(archive)
    with tar:
        file = tar.extractfile(member)
        if file is None:
            raise GeomclipError(f"{archive}: {member} is no file", "Fetch the package again.")
        return file.read()


# ---- names, hierarchy, keywords


def parse_emoji_test(text: str) -> list[Emoji]:
    """Fully qualified emoji without skin tones and without flags of places, in Unicode's order."""
    emoji = []
    group = subgroup = ""
    for line in text.splitlines():
        if line.startswith("# group:"):
            group = line.partition(":")[2].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.partition(":")[2].strip()
        elif line and not line.startswith("#"):
            fields, _, comment = line.partition("#")
            codes, _, status = fields.partition(";")
            codepoints = tuple(int(code, 16) for code in codes.split())
            if status.strip() != "fully-qualified" or subgroup in DROPPED_SUBGROUPS:
                continue
            if any(code in SKIN_TONES for code in codepoints):
                continue
            _picture, _version, name = comment.strip().split(" ", 2)
            emoji.append(Emoji(codepoints, name, group, subgroup))
    return emoji


def add_keywords(emoji: list[Emoji], annotations: dict[str, dict[str, list[str]]]) -> list[Emoji]:
    """Each emoji with its CLDR keywords, lower-cased, without its own name.

    Sequences that the annotations do not list (46 here, such as "woman: red hair") take the
    keywords of their parts, in order.
    """
    return [Emoji(e.codes, e.name, e.group, e.subgroup, _keywords(e, annotations)) for e in emoji]


def _keywords(emoji: Emoji, annotations: dict[str, dict[str, list[str]]]) -> tuple[str, ...]:
    def words(codes: tuple[int, ...]) -> list[str]:
        plain = "".join(chr(code) for code in codes if code != VARIATION_SELECTOR)
        return annotations.get(plain, {}).get("default", [])

    found = words(emoji.codes)
    if not found:
        parts = [code for code in emoji.codes if code not in (JOINER, VARIATION_SELECTOR)]
        found = [word for code in parts for word in words((code,))]
    lowered = (word.lower() for word in found)
    return tuple(dict.fromkeys(word for word in lowered if word != emoji.name.lower()))


def load_emoji_list(cache: Path) -> list[Emoji]:
    """The 1,609 emoji of the data set, from the two packages that describe them."""
    text = read_member(fetch(HIERARCHY, cache), EMOJI_TEST).decode("utf-8")
    raw = read_member(fetch(KEYWORDS, cache), "package/annotations/en/annotations.json")
    annotations = json.loads(raw)["annotations"]["annotations"]
    return add_keywords(parse_emoji_test(text), annotations)


# ---- artwork


@dataclass(frozen=True)
class Icon:
    """One drawing: an SVG on a square canvas, then mirrored, then turned clockwise by quarters."""

    svg: str
    mirror_x: bool = False
    mirror_y: bool = False
    quarter_turns: int = 0


class IconSet:
    """One vendor's drawings.

    They are found by code points or, where the package has no table of these, by the name's slug.
    """

    def __init__(self, icons: dict[str, Any], chars: dict[str, str]) -> None:
        self._icons = icons
        self._chars = chars

    @classmethod
    def read(cls, package: Path) -> "IconSet":
        return cls(
            json.loads(read_member(package, "package/icons.json")),
            json.loads(read_member(package, "package/chars.json")),
        )

    def find(self, emoji: Emoji) -> Icon | None:
        """The vendor's drawing of an emoji; None where it has none."""
        if self._chars:
            plain = tuple(code for code in emoji.codes if code != VARIATION_SELECTOR)
            name = self._chars.get(hex_name(emoji.codes)) or self._chars.get(hex_name(plain))
        else:
            name = slug(emoji.name)
        if name is None:
            return None
        return self._icon(name)

    def _icon(self, name: str) -> Icon | None:
        mirror_x = mirror_y = False
        turns = 0
        aliases = self._icons.get("aliases", {})
        while name in aliases:
            alias = aliases[name]
            # Two mirrors cancel. No alias of these five sets is turned and then mirrored.
            mirror_x ^= alias.get("hFlip", False)
            mirror_y ^= alias.get("vFlip", False)
            turns += alias.get("rotate", 0)
            name = alias["parent"]
        icon = self._icons["icons"].get(name)
        if icon is None:
            return None
        box = {
            key: icon.get(key, self._icons.get(key, default))
            for key, default in {"left": 0, "top": 0, "width": 16, "height": 16}.items()
        }
        # A square canvas and the default preserveAspectRatio letterbox what is not square.
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            'width="256" height="256" '
            f'viewBox="{box["left"]} {box["top"]} {box["width"]} {box["height"]}">'
            f"{icon['body']}</svg>"
        )
        return Icon(svg, mirror_x, mirror_y, turns % 4)


def slug(name: str) -> str:
    """Iconify's spelling of a name: "man’s shoe" -> "mans-shoe", "keycap: *" -> "keycap-asterisk".

    "#" becomes "hash", but the two sets that are looked up by slug call it "pound": they count as
    having no such drawing, and the counts of this data set are fixed.
    """
    name = name.replace("*", "asterisk").replace("#", "hash").replace("’", "")
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")
