"""The errors that reach people: one line that says what is wrong, one that says what to do."""


class GeomclipError(Exception):
    """The work failed (diverged, disk full, ...). `geomclip` exits with 1.

    Args:
        what: what happened and where, in one line.
        how: the way out, in one line; may be empty.
    """

    exit_code = 1

    def __init__(self, what: str, how: str = "") -> None:
        # As one argument: the flags' parser tells people the first, and the way out belongs to it.
        super().__init__(f"{what}\n  {how}" if how else what)
        self.what = what
        self.how = how


class RequestError(GeomclipError, ValueError):
    """The request was wrong (option, path, data). `geomclip` exits with 2."""

    exit_code = 2


class Interrupted(GeomclipError):
    """Stopped by the user, with a resumable checkpoint on disk. `geomclip` exits with 130."""

    exit_code = 130


class FailedElsewhere(GeomclipError):
    """Another process of the same run failed first, and has told why. `geomclip` prints nothing.

    Args:
        what: what that process said.
        exit_code: what this one exits with.
    """

    def __init__(self, what: str, exit_code: int = 1) -> None:
        super().__init__(what)
        self.exit_code = exit_code
