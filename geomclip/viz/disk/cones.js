// Entailment cones in the plane, as `manifolds` computes them: half aperture and exterior angle.
//
// x is the apex, y the point asked about, both as coordinates (two numbers); radians. Hyperbolic points
// are space components at curvature -c (Le et al. 2019, Desai et al. 2023); min_radius K is without unit there and a
// length in the Euclidean plane (Ganea et al. 2018).
"use strict";
globalThis.geomclip ??= {};
geomclip.cones = (() => {
  function halfAperture(kind, x, minRadius, c = 1) {
    const r = Math.hypot(...x);
    const q = kind === "euclidean" ? minRadius / r : (2 * minRadius) / (Math.sqrt(c) * r);
    return q >= 1 || r === 0 ? Math.PI / 2 : Math.atan2(q, Math.sqrt((1 - q) * (1 + q)));
  }

  function exteriorAngle(kind, x, y, c = 1) {
    const [a, b] = [Math.hypot(...x), Math.hypot(...y)];
    const [dx, dy] = [y[0] - x[0], y[1] - x[1]];
    if (a === 0 || (dx === 0 && dy === 0)) return 0;
    if (kind === "euclidean") {
      return Math.atan2(Math.abs(x[0] * dy - x[1] * dx), x[0] * dx + x[1] * dy);
    }
    if (b === 0) return Math.PI;
    const [ra, rb] = [Math.asinh(Math.sqrt(c) * a), Math.asinh(Math.sqrt(c) * b)];
    // Angle at the root by its half sine, which doesn't cancel for near directions.
    const half = Math.hypot(x[0] / a - y[0] / b, x[1] / a - y[1] / b) / 2;
    const sine = Math.abs(x[0] * y[1] - x[1] * y[0]) / (a * b);
    const radial = Math.sinh(rb - ra) - 2 * Math.sinh(rb) * Math.cosh(ra) * half * half;
    return Math.atan2(Math.sinh(rb) * sine, radial);
  }

  // Whether y lies in the cone of x.
  function holds(kind, x, y, minRadius, c = 1) {
    return exteriorAngle(kind, x, y, c) <= halfAperture(kind, x, minRadius, c);
  }

  return { halfAperture, exteriorAngle, holds };
})();
