"""Every operation as a function of points and c; the manifold classes call these.

c is a positive number or a 0-dim tensor, and gradients reach it. float64 in, float64 out;
everything else comes out float32.
"""

from manifolds.functional import euclidean, lorentz, poincare, sphere
from manifolds.functional.euclidean import *  # noqa: F403
from manifolds.functional.lorentz import *  # noqa: F403
from manifolds.functional.poincare import *  # noqa: F403
from manifolds.functional.sphere import *  # noqa: F403

__all__ = [*euclidean.__all__, *lorentz.__all__, *poincare.__all__, *sphere.__all__]
