"""The project's pages of Markdown, and what stands in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "RELEASE.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").rglob("*.md")),
]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    """Of a test: where the page is."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of that language, "" for those of none."""
    return [code for kind, code in FENCE.findall(page.read_text("utf-8")) if kind == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def commands(page: Path) -> list[str]:
    """The lines of blocks without a language that begin with a program; comments taken off."""
    lines = [line.partition(" #")[0].strip() for b in blocks(page, "") for line in b.splitlines()]
    found = [w for w in lines if re.match(r"(geomclip|torchrun|python|make) [a-z-]", w)]
    # What follows is the shell's, and errors that a command answers with are no commands.
    return [w.partition(" > ")[0] for w in found if not re.match(r"geomclip [a-z ]+:", w)]


def spoken(page: Path) -> list[str]:
    """Commands in the prose, which may be parts of one: `geomclip viz`, `--to hf|openclip`."""
    code = [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(page))]
    return [found for found in code if re.match(r"(geomclip|make) [a-z-]", found)]


def anchors(page: Path) -> set[str]:
    """What `page#...` may name: its headings as MyST and GitHub spell them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in plain}
