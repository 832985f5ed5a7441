"""Pictures of a report in headless Chromium: the README's, or a gallery of its sections.

python experiments/screenshot.py runs/compare/report.html docs/images/report.png
python experiments/screenshot.py runs/compare/report.html docs/screens.md --gallery

The gallery has each section at 1280 and at 390 pixels, on light and on dark paper, as WebP files in
a folder beside the page, which is written anew.
"""

import argparse
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = (1280, 390)
PAPERS = ("light", "dark")
# A picture shows so much of a section, pixels.
TALLEST = 1400


@dataclass(frozen=True)
class Shot:
    """A section of the report, and what is done before it is taken."""

    section: str
    about: str
    before: str = ""


SELECT = """(() => {
  const { atlas, panels } = geomclip.explorer;
  const met = (i) => Math.max(...panels.map((one) => one.spec.traversals?.[i]?.length ?? 0));
  geomclip.explorer.select(atlas.illustrated.reduce((a, b) => (met(b) > met(a) ? b : a)));
})()"""
PLAY = "document.querySelector('.play').open = true; geomclip.playground?.draw()"

SHOTS = (
    Shot("verdict", "The verdict: what the numbers allow to be said."),
    Shot("numbers", "Every number with its spread, chance and raw pixels beside."),
    Shot("training", "Training, all geometries on the same axes."),
    Shot("root", "Root distances by level."),
    Shot("spaces", "The explorer with a picture chosen: its ways to the root, its cones.", SELECT),
    Shot("ways", "What traversals meet."),
    Shot("cones", "Cones by level, and the playground.", PLAY),
    Shot("ablation", "The weight of the entailment loss."),
    Shot("pictures", "Ten pictures drawn at random, then best and worst."),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path, help="the picture, or the page of the gallery")
    parser.add_argument("--height", type=int, default=1100, help="pixels from the top")
    parser.add_argument("--gallery", action="store_true", help="all sections, widths and papers")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        if arguments.gallery:
            gallery(browser, arguments.report, arguments.out)
        else:
            page = opened(browser, arguments.report, 1100, arguments.height, "light")
            page.screenshot(path=arguments.out)


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("no Chromium found; on Debian: apt-get install chromium")

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, report: Path, width: int, height: int, paper: str) -> Any:
    """The report once its charts are drawn."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=paper)
    page.goto(report.resolve().as_uri(), timeout=180_000)
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=180_000)
    page.wait_for_timeout(500)  # fonts and the sheet of pictures
    return page


def gallery(browser: Any, report: Path, out: Path) -> None:
    """Every section that the report has, and the page that shows them."""
    folder = out.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    taken: dict[str, str] = {}
    for paper in PAPERS:
        for width in WIDTHS:
            page = opened(browser, report, width, 900, paper)
            for shot in SHOTS:
                section = page.locator(f"section#{shot.section}")
                if not section.count() or section.locator(".missing").count():
                    continue
                if shot.before:
                    page.evaluate(shot.before)
                    page.wait_for_timeout(300)
                taken[shot.section] = shot.about
                name = f"{shot.section}-{width}-{paper}.webp"
                save(section.screenshot(timeout=120_000), folder / name)
            command = page.locator("#repeat pre code").inner_text()
            page.close()
    out.write_text(contents(taken, folder.name, command), encoding="utf-8")


def save(png: bytes, path: Path) -> None:
    """As WebP, the top of what is too tall."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.crop((0, 0, image.width, min(TALLEST, image.height))).save(path, quality=70, method=6)


def contents(taken: dict[str, str], folder: str, command: str) -> str:
    """The page in MyST; `command` made the report."""
    parts = [
        "# Screens",
        "[The report](report.md) of a comparison at 1280 and at 390 pixels, on light and dark "
        "paper; tall sections are cut. Made by",
        f"```\n{command}\n"
        "python experiments/screenshot.py runs/compare/report.html docs/screens.md --gallery\n```",
    ]
    for section, about in taken.items():
        parts.append(f"## {about.rstrip('.')}")
        for width in WIDTHS:
            names = [f"{folder}/{section}-{width}-{paper}.webp" for paper in PAPERS]
            alts = [f"{about.rstrip('.')}, {width} pixels, {paper}" for paper in PAPERS]
            pictures = [f"![{alt}]({name})" for alt, name in zip(alts, names, strict=True)]
            parts.append(("\n\n" if width > 600 else "\n").join(pictures))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
