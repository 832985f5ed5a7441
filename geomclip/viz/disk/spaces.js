// The hyperbolic plane, the Euclidean plane and the sphere on one footing, at unit curvature.
//
// A point is a triple (t, x, y): t² - x² - y² = 1 on the hyperboloid, t² + x² + y² = 1 on the sphere,
// t = 1 in the plane. The root is (1, 0, 0), and an isometry is a 3 x 3 matrix, row by row, that acts on
// triples. Hyperbolic points are kept on the hyperboloid in float64 because coordinates of the disk can't
// tell points apart from a radius of about 17 on.
"use strict";
globalThis.geomclip ??= {};
geomclip.spaces = (() => {
  const ROOT = Object.freeze([1, 0, 0]);
  // Sign of x and y in the invariant form t t' + sign (x x' + y y').
  const SIGNS = { hyperbolic: -1, euclidean: 0, sphere: 1 };

  function apply(m, p) {
    return [0, 3, 6].map((i) => m[i] * p[0] + m[i + 1] * p[1] + m[i + 2] * p[2]);
  }

  function multiply(a, b) {
    const out = new Float64Array(9);
    for (let i = 0; i < 9; i += 3)
      for (let j = 0; j < 3; j++) out[i + j] = a[i] * b[j] + a[i + 1] * b[3 + j] + a[i + 2] * b[6 + j];
    return out;
  }

  // The rotation about the root (or about the centre of the view).
  function turn(angle) {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return Float64Array.of(1, 0, 0, 0, c, -s, 0, s, c);
  }

  function space(name) {
    const sign = SIGNS[name];
    const flat = sign === 0;

    // The point whose tangent vector at the root is (u, v): the exponential map.
    function fromTangent(u, v) {
      const r = Math.hypot(u, v);
      if (flat || r === 0) return [1, u, v];
      const [t, s] = sign < 0 ? [Math.cosh(r), Math.sinh(r)] : [Math.cos(r), Math.sin(r)];
      return [t, (s / r) * u, (s / r) * v];
    }

    // The tangent vector at the root of a point: the logarithm map.
    function toTangent(p) {
      const s = Math.hypot(p[1], p[2]);
      if (flat || s === 0) return [p[1], p[2]];
      const r = sign < 0 ? Math.asinh(s) : Math.atan2(s, p[0]);
      return [(r / s) * p[1], (r / s) * p[2]];
    }

    // Coordinates in the picture: Poincaré disk; the plane itself; azimuthal equidistant, π on the rim.
    function project(t, x, y) {
      if (sign < 0) return [x / (1 + t), y / (1 + t)];
      if (flat) return [x, y];
      const s = Math.hypot(x, y);
      const k = s === 0 ? (t < 0 ? 1 : 1 / Math.PI) : Math.atan2(s, t) / (Math.PI * s);
      return [k * x, k * y];
    }

    // The point at (u, v) of the picture; what lies beyond the rim is taken to just inside it.
    function unproject(u, v) {
      if (flat) return [1, u, v];
      const rim = sign < 0 ? 1 - 1e-9 : 1;
      const r = Math.hypot(u, v);
      const k = r > rim ? rim / r : 1;
      if (sign > 0) return fromTangent(k * u * Math.PI, k * v * Math.PI);
      const q = k * k * r * r;
      return [(1 + q) / (1 - q), (2 * k * u) / (1 - q), (2 * k * v) / (1 - q)];
    }

    // The translation that takes point p to the root along their geodesic.
    function home(p) {
      const [t, x, y] = p;
      if (flat) return Float64Array.of(1, 0, 0, -x, 1, 0, -y, 0, 1);
      if (sign > 0 && 1 + t < 1e-12) return Float64Array.of(-1, 0, 0, 0, -1, 0, 0, 0, 1);
      const k = -sign / (1 + t);
      return Float64Array.of(
        t, sign * x, sign * y, -x, 1 + k * x * x, k * x * y, -y, k * x * y, 1 + k * y * y);
    }

    function inverse(m) {
      if (flat) {
        const [a, b, c, d] = [m[4], m[5], m[7], m[8]]; // a rotation: its inverse is its transpose
        return Float64Array.of(
          1, 0, 0, -(a * m[3] + c * m[6]), a, c, -(b * m[3] + d * m[6]), b, d);
      }
      return Float64Array.of(
        m[0], sign * m[3], sign * m[6], sign * m[1], m[4], m[7], sign * m[2], m[5], m[8]);
    }

    // The translation along the geodesic from a to b that takes a to b: the point reflection in a, then
    // the one in the midpoint.
    function translation(a, b) {
      if (flat) return Float64Array.of(1, 0, 0, b[1] - a[1], 1, 0, b[2] - a[2], 0, 1);
      return multiply(reflection(midpoint(a, b)), reflection(a));
    }

    function midpoint(a, b) {
      const m = [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
      const n = Math.sqrt(m[0] * m[0] + sign * (m[1] * m[1] + m[2] * m[2]));
      return n > 1e-12 ? m.map((v) => v / n) : a; // antipodes have no midpoint: no move
    }

    // X -> 2 <X, P> P - X with the form that has <P, P> = 1.
    function reflection(p) {
      const [t, x, y] = p;
      const [d, e] = [sign * x, sign * y];
      return Float64Array.of(
        2 * t * t - 1, 2 * t * d, 2 * t * e, 2 * x * t, 2 * x * d - 1, 2 * x * e, 2 * y * t, 2 * y * d, 2 * y * e - 1);
    }

    function distance(p, q) {
      const [dt, dx, dy] = [p[0] - q[0], p[1] - q[1], p[2] - q[2]];
      if (flat) return Math.hypot(dx, dy);
      const chord = Math.sqrt(Math.max(0, dx * dx + dy * dy + sign * dt * dt));
      return sign < 0 ? 2 * Math.asinh(chord / 2) : 2 * Math.asin(Math.min(1, chord / 2));
    }

    // The point at length s from p in the direction (cos, sin) of `angle`, measured at p in the frame that
    // the translation from the root brings along.
    function ray(p, angle, s) {
      return apply(inverse(home(p)), fromTangent(s * Math.cos(angle), s * Math.sin(angle)));
    }

    // Direction and length of the geodesic from p to q, in that same frame.
    function bearing(p, q) {
      const [u, v] = toTangent(apply(home(p), q));
      return { angle: Math.atan2(v, u), length: Math.hypot(u, v) };
    }

    return { name, sign, flat, fromTangent, toTangent, project, unproject, home, inverse, translation,
      distance, ray, bearing };
  }

  const all = Object.fromEntries(Object.keys(SIGNS).map((name) => [name, space(name)]));
  return { ...all, ROOT, apply, multiply, turn };
})();

// Where a view stands: the point in its centre and how far it is turned. The matrix is made anew from
// these two after every move, so that a long walk doesn't wear the isometry out.
geomclip.View = class {
  constructor(space) {
    this.space = space;
    this.reset();
  }

  reset() {
    this.set(geomclip.spaces.ROOT, 0);
  }

  set(centre, angle) {
    const { multiply, turn } = geomclip.spaces;
    this.centre = [...centre];
    this.angle = angle;
    this.matrix = multiply(turn(angle), this.space.home(this.centre));
  }

  // Follows the view with an isometry of the picture.
  follow(isometry) {
    const { apply, multiply, ROOT } = geomclip.spaces;
    const back = this.space.inverse(multiply(isometry, this.matrix));
    let centre = apply(back, ROOT);
    if (this.space.sign < 0) centre[0] = Math.sqrt(1 + centre[1] ** 2 + centre[2] ** 2);
    if (this.space.sign > 0) {
      const n = Math.hypot(...centre);
      centre = centre.map((v) => v / n);
    }
    // Where the view's x direction goes in the frame at the new centre.
    const ahead = [back[1], back[4], back[7]];
    const [, x, y] = apply(this.space.home(centre), this.space.flat ? [0, ahead[1], ahead[2]] : ahead);
    this.set(centre, -Math.atan2(y, x));
  }

  // Takes what is at `from` of the picture to `to`.
  drag(from, to) {
    const [a, b] = [this.space.unproject(...from), this.space.unproject(...to)];
    this.follow(this.space.translation(a, b));
  }

  turn(angle) {
    this.set(this.centre, this.angle + angle);
  }

  image(p) {
    return this.space.project(...geomclip.spaces.apply(this.matrix, p));
  }
};
