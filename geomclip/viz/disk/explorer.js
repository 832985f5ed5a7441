// Panels that move on their own and light up together, and the controls around them.
"use strict";
geomclip.Explorer = class {
  constructor(box, data) {
    this.box = box;
    this.atlas = new geomclip.Atlas(data);
    this.lassoing = false;
    this.walk = null;
    this.panels = data.panels.map((spec, k) =>
      new geomclip.Panel(box.querySelector(`[data-panel="${k}"]`), spec, this.atlas));
    this.card = new geomclip.Card(this);
    this.controls = new geomclip.Controls(this);
    for (const panel of this.panels) geomclip.gestures(panel, this);
    this.#watch();
    this.read();
    this.resize();
    this.atlas.sprite.loaded?.then(() => this.drawOver());
  }

  #watch() {
    new ResizeObserver(() => this.resize()).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.atlas.dress();
      this.draw();
    });
    addEventListener("hashchange", () => {
      if (location.hash.slice(1) !== this.written) this.read();
    });
  }

  resize() {
    for (const panel of this.panels) panel.resize();
    this.draw();
  }

  draw() {
    for (const panel of this.panels) this.drawPanel(panel);
    this.controls.legend();
  }

  drawPanel(panel) {
    const { colours, legend } = this.atlas.paint(panel);
    this.atlas.colours = colours;
    panel.legend = legend;
    panel.draw();
  }

  drawOver() {
    for (const panel of this.panels) panel.drawOver();
  }

  // A panel's view has changed: draw it with the next frame, once.
  moved(panel) {
    (this.pending ??= new Set()).add(panel);
    if (this.pending.size > 1 || this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      for (const each of this.pending) {
        // Colours by modality, level and branch are the same in every panel and need no new pass.
        this.atlas.colours = this.#colours(each);
        each.draw();
      }
      this.pending = null;
      this.card.place();
    });
  }

  #colours(panel) {
    const { atlas } = this;
    const key = ["root", "violation"].includes(atlas.tint) ? panel : atlas;
    if (this.tinted?.key !== key || this.tinted.tint !== atlas.tint || this.tinted.paper !== atlas.ink) {
      this.tinted = { key, tint: atlas.tint, paper: atlas.ink, colours: atlas.paint(panel).colours };
    }
    return this.tinted.colours;
  }

  // --- what is under the pointer, what is selected ---

  hover(panel, i, at) {
    if (i === this.atlas.hovered) return;
    this.atlas.hovered = i;
    panel.over.style.cursor = i >= 0 ? "pointer" : "";
    this.card.hover(panel, i, at);
    this.drawOver();
  }

  select(i) {
    this.atlas.selected = i;
    this.mark();
    this.card.select(i);
    this.drawOver();
    this.settle();
  }

  // Everything inside the selected point's cone, as each picture has it; the first panel with cones is marked.
  mark() {
    const { atlas } = this;
    const i = atlas.selected;
    for (const panel of this.panels) {
      panel.held = [];
      if (i < 0 || !panel.spec.cones) continue;
      for (let j = 0; j < atlas.n; j++) {
        if (j !== i && atlas.shown[j] && panel.holds(i, j, atlas.minRadius)) panel.held.push(j);
      }
    }
    atlas.marked = i < 0 ? [] : (atlas.chosen ?? []).slice(0, 2000);
    if (!atlas.chosen && i >= 0 && atlas.show.cone) {
      atlas.marked = (this.panels.find((p) => p.spec.cones)?.held ?? []).slice(0, 2000);
    }
  }

  choose(indices) {
    this.atlas.chosen = indices && indices.length ? indices : null;
    this.lassoing = false;
    this.atlas.dim();
    this.mark();
    this.controls.sync();
    this.draw();
    this.controls.say(indices ? `${indices.length.toLocaleString("en")} samples chosen` : "Nothing chosen");
  }

  letGo() {
    if (this.walk) this.walk = null;
    else if (this.atlas.chosen) this.choose(null);
    else this.select(-1);
    this.hoverNone();
    this.controls.sync();
  }

  hoverNone() {
    this.atlas.hovered = -1;
    this.card.hover(null, -1);
  }

  // --- keyboard walk ---

  startWalk(panel) {
    const order = Array.from({ length: this.atlas.n }, (_, i) => i).filter((i) => this.atlas.shown[i]);
    order.sort((i, j) => Math.hypot(panel.u[i], panel.v[i]) - Math.hypot(panel.u[j], panel.v[j]));
    this.walk = { order, at: -1 };
    this.step(panel, 1);
  }

  step(panel, by) {
    const { walk } = this;
    walk.at = (walk.at + by + walk.order.length) % walk.order.length;
    this.select(walk.order[walk.at]);
    const [x, y] = panel.screenOf(this.atlas.selected);
    if (x < 0 || y < 0 || x > panel.side || y > panel.side) panel.centreOn(this.atlas.selected);
  }

  // --- moves that take time ---

  // Brings a point to the centre along its geodesic; exactly there at the end.
  glide(panel, point, i = -1) {
    const { space, view } = panel;
    const { apply, ROOT } = geomclip.spaces;
    const end = () => {
      view.set(point, view.angle);
      this.moved(panel);
      this.settle();
    };
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return end();
    const { angle, length } = space.bearing(ROOT, apply(view.matrix, point));
    const began = performance.now();
    let gone = 0;
    const frame = (now) => {
      const share = Math.min(1, (now - began) / 280);
      if (share === 1) return end();
      const want = length * (1 - (1 - share) ** 3);
      const ahead = space.fromTangent((want - gone) * Math.cos(angle), (want - gone) * Math.sin(angle));
      view.follow(space.translation(ahead, [...ROOT]));
      gone = want;
      this.moved(panel);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  toRoot() {
    for (const panel of this.panels) panel.reset();
    this.draw();
    this.settle();
  }

  // --- the address: what is seen can be sent to somebody ---

  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.write(), 250);
  }

  write() {
    const { atlas } = this;
    const parts = new URLSearchParams();
    if (atlas.selected >= 0) parts.set("s", atlas.data.ids?.[atlas.selected] ?? atlas.selected);
    if (atlas.tint !== "modality") parts.set("t", atlas.tint);
    if (atlas.query) parts.set("q", atlas.query);
    parts.set("k", String(atlas.minRadius));
    this.panels.forEach((panel, k) => {
      const where = [...panel.space.toTangent(panel.view.centre), panel.view.angle, panel.zoom / panel.home];
      if (where.some((value, j) => value !== (j === 3 ? 1 : 0))) parts.set(`v${k}`, where.join("_"));
    });
    this.written = parts.toString();
    history.replaceState(null, "", "#" + this.written);
  }

  read() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const { atlas } = this;
    const tint = parts.get("t");
    if (tint && this.controls.tints.includes(tint)) atlas.tint = tint;
    const radius = Number(parts.get("k"));
    if (parts.has("k") && radius > 0 && Number.isFinite(radius)) atlas.minRadius = radius;
    atlas.seek(parts.get("q") ?? "");
    this.panels.forEach((panel, k) => {
      const where = (parts.get(`v${k}`) ?? "").split("_").map(Number);
      if (where.length !== 4 || !where.every(Number.isFinite) || where[3] <= 0) return;
      panel.view.set(panel.space.fromTangent(where[0], where[1]), where[2]);
      panel.zoom = panel.home * where[3];
    });
    const wanted = parts.get("s");
    if (wanted !== null) {
      const found = atlas.data.ids ? atlas.data.ids.map(String).indexOf(wanted) : Number(wanted);
      if (Number.isInteger(found) && found >= 0 && found < atlas.n) atlas.selected = found;
    }
    this.mark();
    this.card.select(atlas.selected);
    this.controls.sync();
    this.draw();
  }
};
