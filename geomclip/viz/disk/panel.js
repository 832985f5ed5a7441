// One geometry on one canvas: where its points are on the screen, and the layers that draw them.
"use strict";
geomclip.Panel = class {
  // `box` holds the canvases; `spec` is the panel of the page's data, `atlas` everything that panels share.
  constructor(box, spec, atlas) {
    this.box = box;
    this.spec = spec;
    this.atlas = atlas;
    this.space = geomclip.spaces[spec.space];
    this.view = new geomclip.View(this.space);
    this.base = new geomclip.Paint(box.querySelector("canvas.points"));
    this.over = box.querySelector("canvas.over");
    this.ink = this.over.getContext("2d");
    this.zoom = 1;
    this.#place(geomclip.floats(spec.xy, Float64Array));
    this.roots = geomclip.floats(spec.root_distance, Float64Array);
    this.violation = spec.violation ? geomclip.floats(spec.violation, Float64Array) : null;
    this.home = this.#fit();
    this.zoom = this.home;
  }

  #place(xy) {
    const n = xy.length / 2;
    this.n = n;
    this.points = new Float64Array(3 * n);
    this.planar = xy; // tangent coordinates at the root, unit curvature
    for (let i = 0; i < n; i++) {
      this.points.set(this.space.fromTangent(xy[2 * i], xy[2 * i + 1]), 3 * i);
    }
    this.u = new Float64Array(n); // in the picture
    this.v = new Float64Array(n);
  }

  // The magnification at which 98 of 100 points are inside when the root is in the centre.
  #fit() {
    const radii = Float64Array.from({ length: this.n }, (_, i) =>
      Math.hypot(this.planar[2 * i], this.planar[2 * i + 1])).sort();
    this.far = radii[this.n - 1] || 1;
    this.usual = radii[Math.min(this.n - 1, Math.floor(0.98 * this.n))] || 1;
    if (this.space.sign < 0) return 1;
    return 0.92 / (this.space.flat ? this.usual : Math.min(1, this.usual / Math.PI));
  }

  point(i) {
    return [this.points[3 * i], this.points[3 * i + 1], this.points[3 * i + 2]];
  }

  // Space components of a point, at the panel's own curvature: what the cones are asked about.
  components(i) {
    const k = 1 / Math.sqrt(this.spec.c || 1);
    return [k * this.points[3 * i + 1], k * this.points[3 * i + 2]];
  }

  // The cone constant as the 2-D picture needs it: K of the hyperbolic cones has no unit, a Euclidean K is a length.
  holds(i, j, minRadius) {
    return geomclip.cones.holds(this.spec.space, this.components(i), this.components(j), minRadius, this.spec.c);
  }

  halfAperture(i, minRadius) {
    return geomclip.cones.halfAperture(this.spec.space, this.components(i), minRadius, this.spec.c);
  }

  // --- the screen: CSS pixels from the box's top left corner ---

  resize() {
    const side = this.box.getBoundingClientRect().width; // pixels may be broken
    if (side === 0) return;
    this.ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    this.side = side;
    const pixels = Math.round(side * this.ratio);
    this.base.resize(pixels, pixels);
    this.over.width = this.over.height = pixels;
  }

  get scale() {
    return 0.48 * this.side * this.zoom;
  }

  toScreen([u, v]) {
    return [this.side / 2 + this.scale * u, this.side / 2 - this.scale * v];
  }

  toPicture(x, y) {
    return [(x - this.side / 2) / this.scale, (this.side / 2 - y) / this.scale];
  }

  screenOf(i) {
    return this.toScreen(this.view.image(this.point(i)));
  }

  // The nearest shown point within `reach` pixels, or -1.
  nearest(x, y, reach = 14) {
    const [a, b] = this.toPicture(x, y);
    let [found, best] = [-1, (reach / this.scale) ** 2];
    const { shown } = this.atlas;
    for (let i = 0; i < this.n; i++) {
      if (!shown[i]) continue;
      const d = (this.u[i] - a) ** 2 + (this.v[i] - b) ** 2;
      if (d < best) [found, best] = [i, d];
    }
    return found;
  }

  // Points whose place lies inside a polygon of screen points.
  inside(polygon) {
    const corners = polygon.map(([x, y]) => this.toPicture(x, y));
    const found = [];
    for (let i = 0; i < this.n; i++) {
      if (!this.atlas.shown[i]) continue;
      let odd = false;
      for (let j = 0, k = corners.length - 1; j < corners.length; k = j++) {
        const [[xj, yj], [xk, yk]] = [corners[j], corners[k]];
        if (yj > this.v[i] !== yk > this.v[i] &&
            this.u[i] < ((xk - xj) * (this.v[i] - yj)) / (yk - yj) + xj) odd = !odd;
      }
      if (odd) found.push(i);
    }
    return found;
  }

  // --- moves ---

  drag(from, to) {
    this.view.drag(this.toPicture(...from), this.toPicture(...to));
  }

  magnify(factor, x = this.side / 2, y = this.side / 2) {
    const at = this.toPicture(x, y);
    this.zoom = Math.min(1e4 * this.home, Math.max(0.2 * this.home, this.zoom * factor));
    // What is under the pointer stays there.
    this.view.drag(at, this.toPicture(x, y));
  }

  centreOn(i) {
    this.view.set(this.point(i), this.view.angle);
  }

  reset() {
    this.view.reset();
    this.zoom = this.home;
  }

  // --- drawing ---

  draw() {
    if (!this.side) return;
    const started = performance.now();
    this.#project();
    this.#paint();
    this.drawOver();
    this.frame = performance.now() - started;
  }

  #project() {
    const [a, b, c, d, e, f, g, h, k] = this.view.matrix;
    const { points, u, v, n } = this;
    const sign = this.space.sign;
    for (let i = 0, j = 0; i < n; i++, j += 3) {
      const [t, x, y] = [points[j], points[j + 1], points[j + 2]];
      const [px, py] = [d * t + e * x + f * y, g * t + h * x + k * y];
      if (sign < 0) {
        const w = 1 / (1 + Math.sqrt(1 + px * px + py * py));
        u[i] = px * w;
        v[i] = py * w;
      } else if (sign === 0) {
        u[i] = px;
        v[i] = py;
      } else {
        [u[i], v[i]] = this.space.project(a * t + b * x + c * y, px, py);
      }
    }
  }

  #paint() {
    const { base, ratio, scale, side, u, v, atlas } = this;
    const { order, shown, colours, shapes, dimmed } = atlas;
    const radius = ratio * atlas.dotRadius * Math.min(1.3, Math.max(0.7, side / 520));
    const opacity = atlas.opacity;
    const curved = this.space.sign < 0;
    const sizes = [1, 0.8, 0.62, 0.5].map((k) =>
      ["disc", "diamond"].map((shape) => geomclip.Paint.stamp(shape, Math.max(0.9, k * radius))));
    base.clear();
    for (const i of order) {
      if (!shown[i]) continue;
      const x = ratio * (side / 2 + scale * u[i]);
      const y = ratio * (side / 2 - scale * v[i]);
      const far = u[i] * u[i] + v[i] * v[i];
      const step = curved ? (far < 0.6 ? 0 : far < 0.85 ? 1 : far < 0.96 ? 2 : 3) : 0;
      base.point(x, y, sizes[step][shapes[i]], colours[i], dimmed && dimmed[i] ? 0.12 : opacity);
    }
    base.show();
  }

  drawOver() {
    if (!this.side) return;
    geomclip.overlay(this);
  }
};

// Numbers that came as base64 of little-endian floats.
geomclip.floats = (text, Kind) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Kind(bytes.buffer);
};
