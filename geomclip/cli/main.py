"""`geomclip COMMAND`: finds the command, runs it, turns errors into two lines and an exit code.

Exit codes: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted. Loads no torch.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from geomclip import __version__
from geomclip.errors import FailedElsewhere, GeomclipError

# Name: what it does. Each stands in the module of its name and is imported only when called.
COMMANDS = {
    "compare": "train CLIP, EuCLIP and MERU under equal budgets, evaluate them, write a report",
    "train": "train one model; --resume continues it exactly",
    "evaluate": "retrieval, zero-shot and hierarchy of a trained model",
    "export": "a model for transformers or open_clip, embeddings for parquet, FAISS, projector",
    "embed": "embeddings of a data set, over one or many processes, resumable",
    "analyze": "what a space looks like: root distances, gap, cones, retrieval, rank, hubs",
    "viz": "the disk explorer: one space or several to drag through, as one offline page",
    "traverse": "the texts met from a picture to the root, or to another picture",
    "data": "`data check PATH` lists all that is wrong with a data set, by row",
    "bench": "time, memory and error of the kernels against torch and the peers",
    "info": "versions, devices, kernels and data of this installation",
}

USAGE = "usage: geomclip COMMAND [options]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (`sys.argv` when None) and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args)
    except SystemExit as stop:  # tyro, after --help or a usage error
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        # The reader of our output (head, less) is gone; flushing at exit would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def help_text() -> str:
    """What `geomclip --help` prints."""
    rows = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            USAGE,
            "",
            "Contrastive image-text learning over curved spaces, and what each geometry does.",
            "",
            "commands:",
            *rows,
            "",
            "`geomclip COMMAND --help` lists the options of a command.",
            "Text for people goes to stderr, results to stdout; --json makes stdout one object.",
        ]
    )


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        if len(args) > 1 and args[0] == "help":
            return _dispatch([args[1], "--help"])
        print(help_text())
        return 0
    if args[0] in ("-V", "--version"):
        print(f"geomclip {__version__}")
        return 0
    command, rest = args[0], args[1:]
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        return report(GeomclipError(f'there is no command "{command}"', f"One of {known}."), "", 2)
    module = importlib.import_module(f"geomclip.cli.{command}")
    try:
        from geomclip.cli.options import import_plugins  # tyro comes with it

        import_plugins(rest)
        return module.run(rest)
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, Exception) as error:
        if "--debug" in rest:
            import traceback

            traceback.print_exc()
        if isinstance(error, FailedElsewhere):  # the process that failed first has told why
            return error.exit_code
        title = " data check" if args[:2] == ["data", "check"] else f" {command}"
        return report(error, title)


def report(error: BaseException, command: str = "", code: int | None = None) -> int:
    """Write an error as one line of what and one of how; returns the exit code."""
    what, how, exit_code = explain(error)
    print(f"geomclip{command}: {what}", file=sys.stderr)
    if how:
        print(f"  {how}", file=sys.stderr)
    return exit_code if code is None else code


def explain(error: BaseException) -> tuple[str, str, int]:
    """(what, how, exit code) of any error."""
    if isinstance(error, GeomclipError):
        return error.what, error.how, error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Nothing was under way that could be resumed.", 130
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {text}", "Try a smaller --batch-size or less data.", 1
    if isinstance(error, OSError):
        how = "Free some space." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return text, how or "Check the path and its permissions.", 1
    if isinstance(error, ValueError):
        return text, "Change the setting behind this; --debug shows where it happened.", 1
    how = "This looks like a defect of geomclip; --debug shows where it happened."
    return f"{type(error).__name__}: {text}", how, 1
