"""The README's and the docs' claims about commands and code hold."""

import builtins
import doctest
import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "manifolds").glob("*.md"))
PAGES += sorted((ROOT / "docs" / "losses").glob("*.md"))
PAGES += sorted((ROOT / "experiments").rglob("*.md"))
RUN = [
    p
    for p in PAGES
    if p.parent in (ROOT / "docs" / "manifolds", ROOT / "docs" / "losses")
    or p.stem
    in (
        "analysis",
        "conventions",
        "embeddings",
        "hierarchies",
        "hierarchy_evaluation",
        "modalities",
        "new_manifold",
        "optimizers",
        "traversals",
    )
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readmes_python_runs():
    (code,) = blocks(ROOT / "README.md", "python")
    # What needs a finished comparison is left to the tests of `load`.
    code = code.partition("model = geomclip.load")[0]
    assert "info_nce" in code
    exec(compile(code, "README.md", "exec"), {})


@pytest.mark.parametrize("page", RUN, ids=lambda p: p.stem)
def test_the_python_of_the_pages_runs(page):
    """Blocks run in turn in one namespace; those with prompts show what comes out."""
    names = {"__name__": "docs"}
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    found = blocks(page, "python")
    for number, code in enumerate(found):
        where = f"{page.name}, block {number}"
        if ">>>" not in code:
            exec(compile(code, where, "exec", dont_inherit=True), names)
            continue
        report = []
        test = parser.get_doctest(code, names, where, str(page), 0)
        runner.run(test, out=report.append, clear_globs=False)
        names = test.globs
        # What a prompt shows is left there, and a list in it trips who hashes all builtins.
        vars(builtins).pop("_", None)
        assert not report, "".join(report)
    assert found or page.stem == "index"


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in blocks(page, ""):
            for line in block.splitlines():
                command = line.partition("#")[0].strip()
                if command.startswith("geomclip "):
                    found.append((page.name, command))
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_option_of_the_docs_commands_exists(page, command, capsys):
    from geomclip.cli.main import main

    words = shlex.split(command)[1:]
    name = words[:2] if words[0] == "data" else words[:1]
    assert main([*name, "--help"]) == 0
    shown = capsys.readouterr()
    known = set(re.findall(r"--[a-z][a-z0-9.-]*", shown.out + shown.err))
    assert {w for w in words if w.startswith("--")} - {"--help"} <= known


def test_every_make_target_of_the_docs_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"\bmake ([a-z-]+)`", page.read_text())) <= targets


def test_every_local_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_what_the_package_ships_is_named_in_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for pattern in project["license-files"]:
        assert list(ROOT.glob(pattern)), pattern
