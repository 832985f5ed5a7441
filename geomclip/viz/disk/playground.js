// The cone playground: one pair of tangent vectors, lifted to the Euclidean and to the hyperbolic plane.
"use strict";
geomclip.Playground = class {
  static REACH = 3; // half the width of the Euclidean panel

  constructor(box) {
    this.box = box;
    this.vectors = { x: [0.9, 0.35], y: [1.9, 1.05] };
    this.radius = { euclidean: 0.3, hyperbolic: 0.15 };
    this.c = 1;
    this.panels = [...box.querySelectorAll("svg[data-plane]")].map((svg) => this.#panel(svg));
    for (const input of box.querySelectorAll("input[data-set]")) {
      input.addEventListener("input", () => this.#set(input.dataset.set, Number(input.value)));
    }
    this.draw();
  }

  #set(what, value) {
    if (what === "c") this.c = 10 ** value;
    else this.radius[what] = 10 ** value;
    this.draw();
  }

  // A point as its geometry's coordinates: expmap0 of its tangent vector.
  coordinates(plane, name) {
    const u = this.vectors[name];
    if (plane === "euclidean") return u;
    const k = Math.sqrt(this.c);
    const [, a, b] = geomclip.spaces.hyperbolic.fromTangent(k * u[0], k * u[1]);
    return [a / k, b / k];
  }

  // What the table says and the tests read: radians, at full precision.
  numbers(plane) {
    const [x, y] = [this.coordinates(plane, "x"), this.coordinates(plane, "y")];
    const aperture = geomclip.cones.halfAperture(plane, x, this.radius[plane], this.c);
    const angle = geomclip.cones.exteriorAngle(plane, x, y, this.c);
    return { x, y, aperture, angle, energy: Math.max(0, angle - aperture) };
  }

  #panel(svg) {
    const plane = svg.dataset.plane;
    const part = (name) => svg.querySelector(`[data-part="${name}"]`);
    const panel = { svg, plane, space: geomclip.spaces[plane], cone: part("cone"), chord: part("chord"), axis: part("axis") };
    for (const name of ["x", "y"]) {
      panel[name] = part(name);
      this.#handle(panel, name, panel[name]);
    }
    return panel;
  }

  // Places in the drawing: a square from -1 to 1, y upward.
  place(panel, p) {
    const [u, v] = panel.space.project(...p);
    const k = panel.space.flat ? 1 / geomclip.Playground.REACH : 1;
    return [k * u, -k * v];
  }

  #point(panel, name) {
    const k = panel.space.flat ? 1 : Math.sqrt(this.c);
    const [a, b] = this.vectors[name];
    return panel.space.fromTangent(k * a, k * b);
  }

  #move(panel, name, [a, b]) {
    const k = panel.space.flat ? geomclip.Playground.REACH : 1;
    const [u, v] = panel.space.toTangent(panel.space.unproject(k * a, -k * b));
    const scale = panel.space.flat ? 1 : 1 / Math.sqrt(this.c);
    const r = Math.hypot(u, v) * scale;
    const most = 6; // beyond, the pictures have no pixels left
    const back = r > most ? most / r : 1;
    this.vectors[name] = [u * scale * back, v * scale * back];
    this.draw();
  }

  #handle(panel, name, handle) {
    const at = (event) => {
      const box = panel.svg.getBoundingClientRect();
      return [(2.1 * (event.clientX - box.left)) / box.width - 1.05, (2.1 * (event.clientY - box.top)) / box.height - 1.05];
    };
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.#move(panel, name, at(event));
    });
    handle.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const steps = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.vectors[name] = this.vectors[name].map((value, k) => value + steps[event.key][k]);
      this.draw();
    });
  }

  draw() {
    for (const panel of this.panels) this.#draw(panel);
    this.#table();
    for (const output of this.box.querySelectorAll("output[data-of]")) {
      output.textContent = geomclip.short(output.dataset.of === "c" ? this.c : this.radius[output.dataset.of]);
    }
  }

  #draw(panel) {
    const { space, plane } = panel;
    const { aperture, energy } = this.numbers(plane);
    const path = (points) => points.map(([a, b], k) => `${k ? "L" : "M"}${a.toFixed(5)} ${b.toFixed(5)}`).join("");
    const p = this.#point(panel, "x");
    const outward = Math.atan2(p[2], p[1]);
    const reach = space.flat ? 30 : 18 + Math.asinh(Math.hypot(p[1], p[2]));
    const edge = (angle) => Array.from({ length: 49 }, (_, k) =>
      this.place(panel, space.ray(p, angle, space.flat ? (reach * k) / 48 : reach * (k / 48) ** 2)));
    const arc = Array.from({ length: 49 }, (_, k) =>
      this.place(panel, space.ray(p, outward + aperture * (1 - k / 24), reach)));
    panel.cone.setAttribute("d", path([...edge(outward + aperture), ...arc, ...edge(outward - aperture).reverse()]) + "Z");
    const way = (from, to) => {
      const { angle, length } = space.bearing(from, to);
      return path(Array.from({ length: 33 }, (_, k) => this.place(panel, space.ray(from, angle, (length * k) / 32))));
    };
    panel.chord.setAttribute("d", way(p, this.#point(panel, "y")));
    panel.axis.setAttribute("d", way(geomclip.spaces.ROOT, p));
    const unit = (a, b) => (Math.hypot(a, b) > 0 ? [a / Math.hypot(a, b), b / Math.hypot(a, b)] : [1, 0]);
    const at = { x: this.place(panel, p), y: this.place(panel, this.#point(panel, "y")) };
    // The letters stand off the lines: y beyond its point, x beside the axis, away from y.
    const ahead = unit(at.y[0] - at.x[0], at.y[1] - at.x[1]);
    const [u, v] = unit(...at.x);
    const side = u * ahead[1] - v * ahead[0] > 0 ? 1 : -1;
    const beside = { x: [v * side, -u * side], y: ahead };
    for (const name of ["x", "y"]) {
      const [a, b] = at[name];
      panel[name].setAttribute("transform", `translate(${a} ${b})`);
      const letter = panel[name].querySelector("text");
      letter.setAttribute("x", 0.085 * beside[name][0]);
      letter.setAttribute("y", 0.085 * beside[name][1]);
      const where = this.coordinates(plane, name).map(geomclip.short).join(", ");
      panel[name].setAttribute("aria-label", `Point ${name} at (${where}); arrow keys move it`);
    }
    panel.svg.dataset.inside = String(energy === 0);
  }

  #table() {
    for (const { plane } of this.panels) {
      const found = this.numbers(plane);
      const root = (at) => geomclip.digits(Math.hypot(...this.vectors[at]));
      const texts = {
        distance: `${root("x")} and ${root("y")}`,
        aperture: geomclip.digits(found.aperture),
        angle: geomclip.digits(found.angle),
        inside: found.energy === 0 ? "yes" : `no, by ${geomclip.digits(found.energy)}`,
      };
      for (const [name, text] of Object.entries(texts)) {
        this.box.querySelector(`[data-number="${plane}-${name}"]`).textContent = text;
      }
    }
  }
};
