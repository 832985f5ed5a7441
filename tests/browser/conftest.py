"""A real report, and a real browser to open it in."""

import os
import shutil

import comparing
import pytest
from browsing import open_report

REQUIRED = "GEOMCLIP_REQUIRE_BROWSER"


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """The report of a real comparison: four models trained for some steps on 135 emoji."""
    from geomclip.compare import compare
    from geomclip.comparison.plan import plan_runs
    from geomclip.data.config import DataConfig
    from geomclip.train import train

    table = comparing.write_table(tmp_path_factory.mktemp("emoji"))
    data = DataConfig(str(table), label_columns=("group", "subgroup"), val_fraction=0.3)
    out = tmp_path_factory.mktemp("comparison")
    names, weights = ["clip", "euclip", "meru"], [0.0, 0.2]
    # Trained in this process, which starts faster than four of their own; compare() takes finished
    # runs as they are.
    for run in plan_runs(names, weights, steps=24, data=data, overrides=comparing.OVERRIDES):
        train(run.config, out / run.name)
    compare(names, entailment=weights, steps=24, data=data, out=out, overrides=comparing.OVERRIDES)
    return out / "report.html"


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium. Skips without one; under GEOMCLIP_REQUIRE_BROWSER=1 that is a failure."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"no Chromium, and {REQUIRED}=1 asks for one")
        pytest.skip("no Chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, report):
    """Opens the report with the given options of a browser context."""
    contexts = []

    def visit(**options):
        page, heard = open_report(chromium, report, **options)
        contexts.append(page.context)
        return page, heard

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def desk(chromium, report):
    """The report on a desktop, opened once for the tests that only look."""
    page, heard = open_report(chromium, report, viewport={"width": 1200, "height": 900})
    yield page, heard
    page.context.close()
