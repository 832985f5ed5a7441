"""Every operation as a function of points and c; the manifold classes call these.

c is a positive number or a 0-dim tensor, and gradients reach it. float64 in, float64 out;
everything else comes out float32. A manifold that is one file has its functions there, beside its
class; they are names here too (`halfspace_dist`). What is written nowhere as a function is made
from the method (`derived`): `lorentz_retr_transp(x, u, v, c)`, `halfspace_midpoint(x, y, c)`.
"""

import sys
from typing import TYPE_CHECKING, Any

from manifolds.functional import (
    euclidean,
    geodesics,
    lorentz,
    means,
    midpoints,
    poincare,
    projections,
    sphere,
)
from manifolds.functional.euclidean import *  # noqa: F403
from manifolds.functional.geodesics import *  # noqa: F403
from manifolds.functional.lorentz import *  # noqa: F403
from manifolds.functional.means import *  # noqa: F403
from manifolds.functional.midpoints import *  # noqa: F403
from manifolds.functional.poincare import *  # noqa: F403
from manifolds.functional.projections import *  # noqa: F403
from manifolds.functional.sphere import *  # noqa: F403

__all__ = [
    *euclidean.__all__,
    *geodesics.__all__,
    *lorentz.__all__,
    *means.__all__,
    *midpoints.__all__,
    *poincare.__all__,
    *projections.__all__,
    *sphere.__all__,
]

if not TYPE_CHECKING:  # mypy should still see a misspelt name

    def __getattr__(name: str) -> Any:
        # Not imported above: those files import `manifolds.base`, whose subclasses import this one.
        key, _, op = name.partition("_")
        manifold = getattr(sys.modules["manifolds"], "MANIFOLDS", {}).get(key)
        module = sys.modules[manifold.__module__] if manifold else None
        if name in getattr(module, "__all__", ()):
            return getattr(module, name)
        if manifold:
            from manifolds.functional.derived import OPERATIONS, derived

            if op in OPERATIONS:
                return derived(key, manifold, op)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        from manifolds.functional.derived import OPERATIONS

        every = {f"{key}_{op}" for key in sys.modules["manifolds"].MANIFOLDS for op in OPERATIONS}
        return sorted(every | set(globals()))
