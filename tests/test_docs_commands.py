"""Every command line of the README and the docs is one that its program takes."""

import importlib
import importlib.util
import re
import shlex
import sys

import pages
import pytest

ROOT = pages.ROOT
FOUND = {command: page for page in pages.PAGES for command in pages.commands(page)}


class Parsed(BaseException):
    """Thrown in the place of the work that follows."""


def of(*programs: str) -> list[str]:
    return sorted(c for c in FOUND if c.startswith(tuple(f"{p} " for p in programs)))


def geomclip_words() -> list[tuple[str, ...]]:
    """What stands after `geomclip`, also behind torchrun and `python -m`."""
    lines = of("geomclip")
    lines += [c.partition("-m ")[2] for c in of("torchrun", "python") if " -m geomclip " in c]
    return list(dict.fromkeys(tuple(shlex.split(line)[1:]) for line in lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the pages' commands are given: with experiments/, and the files that pages write."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    (folder / "run.toml").write_text('geometry = "meru"\n')
    (plugin,) = [c for c in pages.blocks(ROOT / "docs/modalities.md", "python") if "def bag" in c]
    (folder / "my_towers.py").write_text(plugin)
    run = folder / "runs" / "meru"
    run.mkdir(parents=True)
    (run / "config.toml").write_text('geometry = "meru"\n')
    return folder


@pytest.mark.parametrize("words", geomclip_words(), ids=" ".join)
def test_the_commands_own_parser_takes_it(words, folder, monkeypatch):
    """The real parser, with the real defaults; what it is given is checked, nothing is run."""
    from geomclip.cli import main, options

    module = importlib.import_module(f"geomclip.cli.{words[0]}")

    def parse(*args, **kwargs):
        options.parse(*args, **kwargs)
        raise Parsed

    monkeypatch.setattr(module, "parse", parse, raising=words[0] != "info")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    try:
        with pytest.raises(Parsed):
            main.main(list(words))
    finally:
        sys.modules.pop("my_towers", None)  # a plugin stays for the process


def test_scripts_exist_and_know_their_flags():
    for command in of("python"):
        words = shlex.split(command)[1:]
        where = f"{pages.name(FOUND[command])}: {command}"
        if words[0] == "-m":
            assert importlib.util.find_spec(words[1]) is not None, where
        elif words[0].endswith(".py"):
            source = (ROOT / words[0]).read_text("utf-8")
            for flag in [w.partition("=")[0] for w in words[1:] if w.startswith("--")]:
                name = flag.removeprefix("--")
                assert flag in source or name.replace("-", "_") in source, where


def test_commands_of_the_prose_and_make_targets_exist():
    from geomclip.cli.main import COMMANDS

    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {"geomclip": set(COMMANDS), "make": set(targets)}
    spoken = [(page, command) for page in pages.PAGES for command in pages.spoken(page)]
    for page, command in [*((FOUND[c], c) for c in of("make", "geomclip")), *spoken]:
        program, name = command.split()[:2]
        assert name in known[program], f"{pages.name(page)}: {command}"
