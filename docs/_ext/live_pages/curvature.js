// A geodesic triangle in the plane of constant curvature K, drawn in polar coordinates about the root.
"use strict";
{
  const REACH = 3; // the drawing's radius, in geodesic length
  const box = document.getElementById("curvature");
  const corners = { A: [1.7, 0.2], B: [-0.7, 1.5], C: [-1.1, -1.4] };
  let curvature = -1;

  const kind = (k) => geomclip.spaces[k < 0 ? "hyperbolic" : k > 0 ? "sphere" : "euclidean"];
  const unit = (k) => Math.sqrt(Math.abs(k)) || 1; // lengths times this are those at K = -1, 0, 1
  const point = (k, [a, b]) => kind(k).fromTangent(unit(k) * a, unit(k) * b);
  const place = (k, p) => kind(k).toTangent(p).map((v, i) => ((i ? -1 : 1) * v) / (unit(k) * REACH));

  // Sum of angles (radians), area, perimeter, and the length of the circle of radius REACH.
  geomclip.triangle = (k, three = Object.values(corners)) => {
    const [space, points] = [kind(k), three.map((u) => point(k, u))];
    const turns = points.map((p, i) => {
      const [a, b] = [1, 2].map((step) => space.bearing(p, points[(i + step) % 3]).angle);
      const between = Math.abs(a - b);
      return Math.min(between, 2 * Math.PI - between);
    });
    const sides = points.map((p, i) => space.distance(p, points[(i + 1) % 3]) / unit(k));
    const angles = turns.reduce((a, b) => a + b);
    const [u, v, w] = three;
    const flat = Math.abs((v[0] - u[0]) * (w[1] - u[1]) - (v[1] - u[1]) * (w[0] - u[0])) / 2;
    const r = unit(k) * REACH;
    const around = k < 0 ? Math.sinh(r) : k > 0 ? Math.sin(r) : r;
    return {
      angles,
      area: k === 0 ? flat : (angles - Math.PI) / k, // Gauss and Bonnet
      sides: sides.reduce((a, b) => a + b),
      circle: (2 * Math.PI * around) / unit(k),
    };
  };

  const texts = (found) => ({
    angles: ((found.angles * 180) / Math.PI).toFixed(1),
    area: found.area.toFixed(2),
    sides: found.sides.toFixed(2),
    circle: found.circle.toFixed(1),
  });

  function draw() {
    const space = kind(curvature);
    const points = Object.values(corners).map((u) => point(curvature, u));
    const edge = (p, q) => {
      const { angle, length } = space.bearing(p, q);
      return Array.from({ length: 41 }, (_, i) => place(curvature, space.ray(p, angle, (length * i) / 40)));
    };
    const outline = points.flatMap((p, i) => edge(p, points[(i + 1) % 3]));
    box.querySelector('[data-part="triangle"]').setAttribute(
      "d", outline.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(5)} ${b.toFixed(5)}`).join("") + "Z");
    for (const [name, [a, b]] of Object.entries(corners)) {
      const handle = box.querySelector(`[data-corner="${name}"]`);
      handle.setAttribute("transform", `translate(${a / REACH} ${-b / REACH})`);
      handle.setAttribute("aria-label", `Corner ${name}, ${Math.hypot(a, b).toFixed(2)} from the centre; arrow keys move it`);
    }
    for (const [what, k] of [["number", curvature], ["flat", 0]]) {
      for (const [key, text] of Object.entries(texts(geomclip.triangle(k)))) {
        box.querySelector(`[data-${what}="${key}"]`).textContent = text;
      }
    }
    box.querySelector('[data-role="curvature"]').textContent = curvature.toFixed(2);
  }

  function move(name, [a, b]) {
    const r = Math.hypot(a, b);
    const back = r > REACH ? REACH / r : 1;
    corners[name] = [a * back, b * back];
    draw();
  }

  for (const handle of box.querySelectorAll("[data-corner]")) {
    const name = handle.dataset.corner;
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const frame = handle.ownerSVGElement.getBoundingClientRect();
      const at = [event.clientX - frame.left, event.clientY - frame.top].map((v) => (2.1 * v) / frame.width - 1.05);
      move(name, [at[0] * REACH, -at[1] * REACH]);
    });
    handle.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.25 : 0.05;
      const steps = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (!(event.key in steps)) return;
      event.preventDefault();
      move(name, corners[name].map((v, i) => v + steps[event.key][i]));
    });
  }
  box.querySelector("input").addEventListener("input", (event) => {
    curvature = Number(event.target.value);
    draw();
  });
  draw();
}
