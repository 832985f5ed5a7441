// What lies over the points: rim, rings about the root, tree, cone, geodesics, pictures, names, marks.
"use strict";
geomclip.overlay = (() => {
  const STEPS = 64;

  function overlay(panel) {
    const { ink, ratio, side, atlas } = panel;
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.clearRect(0, 0, side, side);
    ink.lineJoin = "round";
    rim(panel);
    if (atlas.show.rings) rings(panel);
    if (atlas.show.tree) tree(panel);
    if (atlas.selected >= 0) family(panel, atlas.selected);
    if (atlas.show.pictures) pictures(panel);
    root(panel);
    for (const i of atlas.marked) ring(panel, i, 3.5, atlas.ink.accent, 1);
    if (atlas.show.names) names(panel);
    if (atlas.selected >= 0) ring(panel, atlas.selected, 8, atlas.ink.strong, 2.25);
    if (atlas.hovered >= 0) ring(panel, atlas.hovered, 8, atlas.ink.strong, 1.25);
    if (panel.lasso) line(panel, panel.lasso, atlas.ink.strong, 1.25, [4, 3]);
  }

  function rim(panel) {
    if (panel.space.flat) return;
    const { ink, side, scale } = panel;
    ink.beginPath();
    ink.arc(side / 2, side / 2, scale, 0, 2 * Math.PI);
    ink.strokeStyle = panel.atlas.ink.rule;
    ink.lineWidth = 1.25;
    ink.stroke();
  }

  // A path through points of the screen.
  function line(panel, path, colour, width = 1.25, dash = []) {
    const { ink } = panel;
    ink.beginPath();
    path.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
    ink.setLineDash(dash);
    ink.strokeStyle = colour;
    ink.lineWidth = width;
    ink.stroke();
    ink.setLineDash([]);
  }

  function onScreen(panel, p) {
    return panel.toScreen(panel.view.image(p));
  }

  // The geodesic between two points, by places on the screen.
  function geodesic(panel, p, q, steps = 24) {
    const { space } = panel;
    const { angle, length } = space.bearing(p, q);
    const count = space.flat ? 1 : steps;
    return Array.from({ length: count + 1 }, (_, i) =>
      onScreen(panel, i === count ? q : space.ray(p, angle, (length * i) / count)));
  }

  // A step of the rings: 1, 2 or 5 times a power of ten, about four of them out to `reach`.
  function ringStep(reach) {
    const power = 10 ** Math.floor(Math.log10(reach / 4));
    return [1, 2, 5, 10].find((k) => k * power >= reach / 5) * power;
  }

  function rings(panel) {
    panel.plates = []; // where numbers stand, which no name may cover
    if (!panel.spec.radial) return; // distances to the root are kept by radial pictures alone
    const { ink, atlas, spec, space } = panel;
    const unit = Math.sqrt(spec.c || 1); // lengths of the picture are at unit curvature
    const far = panel.far / unit;
    const step = ringStep(panel.usual / unit);
    ink.font = "11px " + atlas.font;
    ink.textAlign = "center";
    for (let k = 1; k <= 6; k++) {
      const s = k * step * unit;
      if (space.sign > 0 && s >= Math.PI) break;
      if (k * step > 1.15 * far) break;
      const path = Array.from({ length: STEPS + 1 }, (_, i) => {
        const a = (2 * Math.PI * i) / STEPS;
        return onScreen(panel, space.fromTangent(s * Math.cos(a), s * Math.sin(a)));
      });
      line(panel, path, atlas.ink.faint, 0.75);
      const [x, y] = path[STEPS / 4];
      if (x < 14 || x > panel.side - 14 || y < 10 || y > panel.side - 10) continue; // it would be cut
      plate(panel, geomclip.short(k * step), x, y + 4, atlas.ink.muted);
      panel.plates.push({ x, y: y + 4, half: 14 });
    }
  }

  function plate(panel, text, x, y, colour) {
    const { ink, atlas } = panel;
    ink.lineWidth = 3.5;
    ink.strokeStyle = atlas.ink.paper;
    ink.strokeText(text, x, y);
    ink.fillStyle = colour;
    ink.fillText(text, x, y);
  }

  function root(panel) {
    const [x, y] = onScreen(panel, geomclip.spaces.ROOT);
    const { ink, atlas } = panel;
    ink.beginPath();
    ink.moveTo(x - 6, y);
    ink.lineTo(x + 6, y);
    ink.moveTo(x, y - 6);
    ink.lineTo(x, y + 6);
    ink.strokeStyle = atlas.ink.strong;
    ink.lineWidth = 1.5;
    ink.stroke();
  }

  // Edges of the label tree; those to pictures only for the selected one.
  function tree(panel) {
    const { atlas } = panel;
    for (const i of atlas.branches) {
      line(panel, geodesic(panel, panel.point(atlas.parents[i]), panel.point(i), 10), atlas.ink.faint, 1);
    }
  }

  function family(panel, i) {
    const { atlas, spec } = panel;
    if (spec.cones && atlas.show.cone) cone(panel, i);
    const children = atlas.children(i).slice(0, 500);
    for (const j of children) {
      line(panel, geodesic(panel, panel.point(i), panel.point(j), 10), atlas.ink.faint, 1);
    }
    line(panel, geodesic(panel, geomclip.spaces.ROOT, panel.point(i), 48), atlas.ink.strong, 1.5);
    const chain = [i, ...atlas.ancestors(i)];
    for (let k = 0; k + 1 < chain.length; k++) {
      line(panel, geodesic(panel, panel.point(chain[k + 1]), panel.point(chain[k])), atlas.ink.accent, 2);
    }
    for (const j of chain.slice(1)) ring(panel, j, 6, atlas.ink.accent, 2);
    for (const j of met(panel, i)) ring(panel, j, 5, atlas.ink.strong, 1.5);
  }

  // Samples that point i meets on its way to the root; the root itself is drawn anyway.
  function met(panel, i) {
    return (panel.spec.traversals?.[i] ?? []).filter((j) => j >= 0);
  }

  // The cone of point i: between the two rays that leave it at the half aperture from the outward direction.
  function cone(panel, i) {
    const { space, ink, atlas } = panel;
    const p = panel.point(i);
    const half = panel.halfAperture(i, atlas.minRadius);
    const outward = Math.atan2(p[2], p[1]);
    // Lengths that crowd where the picture is coarse, to the rim or far out of the page.
    const reach = space.sign < 0 ? 18 + Math.asinh(Math.hypot(p[1], p[2])) : 40 * (panel.far || 1);
    const lengths = Array.from({ length: STEPS + 1 }, (_, k) =>
      space.sign < 0 ? (reach * k) / STEPS : reach * (k / STEPS) ** 3);
    const left = lengths.map((s) => onScreen(panel, space.ray(p, outward + half, s)));
    const right = lengths.map((s) => onScreen(panel, space.ray(p, outward - half, s)));
    const middle = Array.from({ length: STEPS + 1 }, (_, k) =>
      onScreen(panel, space.ray(p, outward + half * (1 - (2 * k) / STEPS), reach)));
    ink.beginPath();
    [...left, ...middle, ...right.reverse()].forEach(([x, y], k) => (k ? ink.lineTo(x, y) : ink.moveTo(x, y)));
    ink.closePath();
    ink.fillStyle = atlas.ink.cone;
    ink.fill();
    ink.strokeStyle = atlas.ink.accent;
    ink.lineWidth = 1;
    ink.stroke();
  }

  function ring(panel, i, radius, colour, width) {
    const { ink } = panel;
    const [x, y] = panel.screenOf(i);
    ink.beginPath();
    ink.arc(x, y, radius, 0, 2 * Math.PI);
    ink.strokeStyle = colour;
    ink.lineWidth = width;
    ink.stroke();
  }

  const LARGEST = 36;

  // Pictures where there is room, the same ones first at every frame, smaller toward the rim.
  function pictures(panel) {
    const { ink, atlas, side, u, v, scale } = panel;
    const { sprite, thumbs, shown } = atlas;
    if (!sprite.ready) return;
    // Cells hold one picture's middle at most, and none is larger: only neighbours can touch.
    const across = Math.ceil(side / LARGEST);
    const taken = new Map();
    for (const i of atlas.illustrated) {
      if (!shown[i]) continue;
      const [x, y] = [side / 2 + scale * u[i], side / 2 - scale * v[i]];
      if (!(x > 0 && y > 0 && x < side && y < side)) continue;
      const [column, row] = [Math.floor(x / LARGEST), Math.floor(y / LARGEST)];
      if (taken.has(across * row + column)) continue;
      const far = u[i] * u[i] + v[i] * v[i];
      const size = panel.space.sign < 0 ? LARGEST * Math.max(0.3, Math.sqrt(Math.max(0, 1 - far))) : 30;
      const touches = (k) => {
        const other = taken.get(k);
        return other && Math.max(Math.abs(other.x - x), Math.abs(other.y - y)) < (other.size + size) / 2 + 2;
      };
      let free = true;
      for (let k = -1; k <= 1 && free; k++)
        for (let l = -1; l <= 1 && free; l++) free = !touches(across * (row + k) + column + l);
      if (!free) continue;
      taken.set(across * row + column, { x, y, size });
      ink.globalAlpha = atlas.dimmed?.[i] ? 0.15 : 1;
      sprite.draw(ink, thumbs[i], x - size / 2, y - size / 2, size, atlas.ink.rule);
      if (taken.size >= 260) break;
    }
    ink.globalAlpha = 1;
  }

  // Names of what the selected point meets and of the coarse texts, as many as fit without touching.
  function names(panel) {
    const { ink, atlas, side, u, v, scale } = panel;
    const first = atlas.selected >= 0 ? met(panel, atlas.selected) : [];
    ink.font = "600 12px " + atlas.font;
    ink.textAlign = "center";
    const boxes = atlas.show.rings ? [...panel.plates] : [];
    const most = boxes.length + Math.max(6, Math.floor(side / 26));
    for (const i of new Set([...first, ...atlas.named])) {
      if (boxes.length >= most) break;
      if (!atlas.shown[i]) continue;
      const [x, y] = [side / 2 + scale * u[i], side / 2 - scale * v[i] - 9];
      const half = ink.measureText(atlas.name(i)).width / 2 + 4;
      if (x - half < 0 || x + half > side || y < 14 || y > side - 4) continue;
      if (boxes.some((b) => Math.abs(b.x - x) < b.half + half && Math.abs(b.y - y) < 16)) continue;
      boxes.push({ x, y, half });
      plate(panel, atlas.name(i), x, y, atlas.ink.strong);
    }
  }

  return overlay;
})();

// Three significant digits, with a true minus sign: as few as say it (settings, scales), or all three
// (measurements, which stand below each other).
geomclip.short = (value) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(3))).replace("-", "−") : "–";
geomclip.digits = (value) => {
  const text = Number.isFinite(value) && value !== 0 ? value.toPrecision(3) : "e";
  return text.includes("e") ? geomclip.short(value) : text.replace("-", "−");
};
