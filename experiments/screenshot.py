"""Take the README's picture: the top of a report, in headless Chromium.

python experiments/screenshot.py runs/compare/report.html docs/images/report.png
"""

import argparse
import shutil
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--height", type=int, default=1100, help="pixels from the top")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium found; on Debian: apt-get install chromium")

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": arguments.height})
        page.goto(arguments.report.resolve().as_uri())
        page.wait_for_timeout(3000)  # the charts draw themselves after loading
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
