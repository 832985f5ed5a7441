"""The README's and the docs' claims about code, settings and files hold."""

import builtins
import doctest
import re
import tomllib
from pathlib import Path

import pages
import pytest

ROOT = pages.ROOT
PYTHON = [page for page in pages.PAGES if pages.blocks(page, "python")]
# Run elsewhere: the README below, the gallery by test_gallery.py.
ELSEWHERE = {"README.md", *(pages.name(p) for p in PYTHON if p.parent.name == "gallery")}
# Blocks that need files which do not ship, by page and what they call: compiled only.
NEEDS_FILES = {"docs/loaders.md": "geomclip.load(", "docs/checkpoint.md": "geomclip.load("}


def test_the_readmes_python_runs():
    (code,) = pages.blocks(ROOT / "README.md", "python")
    # What needs a finished comparison is left to the tests of `load`.
    code = code.partition("model = geomclip.load")[0]
    assert "info_nce" in code
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize(
    "page", [p for p in PYTHON if pages.name(p) not in ELSEWHERE], ids=pages.name
)
def test_the_python_of_the_pages_runs(page):
    """Blocks run in turn in one namespace; those with prompts show what comes out."""
    names = {"__name__": "docs"}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for number, code in enumerate(pages.blocks(page, "python")):
        where = f"{page.name}, block {number}"
        if ">>>" not in code:
            compiled = compile(code, where, "exec", dont_inherit=True)
            if NEEDS_FILES.get(pages.name(page), code + "never") not in code:
                exec(compiled, names)
            continue
        report = []
        test = parser.get_doctest(code, names, where, str(page), 0)
        runner.run(test, out=report.append, clear_globs=False)
        names = test.globs
        # What a prompt shows is left there, and a list in it trips who hashes all builtins.
        vars(builtins).pop("_", None)
        assert not report, "".join(report)


TOML = [(page, code) for page in pages.PAGES for code in pages.blocks(page, "toml")]


@pytest.mark.parametrize(("page", "code"), TOML, ids=[pages.name(page) for page, _ in TOML])
def test_the_settings_of_the_pages_are_settings_of_a_run(page, code, tmp_path):
    from geomclip.train.config import from_toml

    (tmp_path / "run.toml").write_text(code, "utf-8")
    config = from_toml(tmp_path / "run.toml")
    given = tomllib.loads(code)
    assert config.geometry == given.get("geometry", config.geometry)


def test_every_local_link_leads_somewhere():
    for page in pages.PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", pages.prose(page)):
            if target.startswith(("http://", "https://", "mailto:")):
                continue
            to = (page.parent / target).resolve() if target else page
            assert to.exists(), f"{pages.name(page)}: {target}"
            if anchor and to.suffix == ".md":
                where = f"{pages.name(page)}: {target}{anchor}"
                assert anchor[1:] in pages.anchors(to), where


def test_every_page_is_in_the_table_of_contents():
    """Sphinx says the same, later."""
    docs = ROOT / "docs"
    listed = set()
    for page in docs.rglob("*.md"):
        for tree in pages.blocks(page, "{toctree}"):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            if ":glob:" in tree:  # of all pages beside it but itself
                found = {p for entry in entries for p in page.parent.glob(f"{entry}.md")} - {page}
            else:
                found = {page.parent / f"{entry}.md" for entry in entries}
            listed |= {p.resolve() for p in found}
    assert {p.resolve() for p in docs.rglob("*.md")} - {docs / "index.md"} == listed


def test_every_figure_is_on_a_page():
    shown = {
        (page.parent / target).resolve()
        for page in pages.PAGES
        for target in re.findall(r"\]\(([^)#\s]+\.(?:svg|png))\)", pages.prose(page))
    }
    figures = {
        p.resolve() for p in Path(ROOT / "docs").rglob("*.*") if p.suffix in (".svg", ".png")
    }
    assert {p for p in figures if "_build" not in p.parts} <= shown


def test_what_the_package_ships_is_named_in_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for pattern in project["license-files"]:
        assert list(ROOT.glob(pattern)), pattern
