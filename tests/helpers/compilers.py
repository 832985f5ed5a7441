"""What needs a C++ compiler whatever the kernels do: torch's inductor."""

import pytest

from manifolds.kernels import build


def missing() -> str:
    """Why there is no C++ compiler; empty where there is one."""
    try:
        build.find_compiler()
        return ""
    except build.BuildError as reason:
        return str(reason)


needs_compiler = pytest.mark.skipif(missing() != "", reason=missing())
