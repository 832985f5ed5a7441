// What all panels share: the samples, what is shown, chosen and searched for, colours by tint.
"use strict";
geomclip.Atlas = class {
  // `data`: {n, modalities, modality (codes), captions, ids, levels, labels, paths, parents, thumbs, sprite}
  constructor(data) {
    Object.assign(this, { data, n: data.n, modality: data.modality, thumbs: data.thumbs ?? [] });
    this.parents = data.parents ?? new Array(data.n).fill(-1);
    this.shapes = this.modality.map((code) => (data.modalities[code] === "image" ? 0 : 1)); // discs, diamonds
    this.hovered = this.selected = -1;
    this.marked = [];
    this.chosen = null; // a set, by lasso
    this.query = "";
    this.tint = "modality";
    this.minRadius = data.min_radius ?? 0.1;
    this.show = { pictures: true, names: true, rings: true, tree: true, cone: true };
    this.shown = new Uint8Array(this.n).fill(1);
    this.dimmed = null;
    this.sprite = new geomclip.Sprite(data.sprite);
    this.dotRadius = this.n <= 2000 ? 4 : this.n <= 10000 ? 3 : this.n <= 30000 ? 2.2 : 1.6;
    this.opacity = this.n <= 2000 ? 0.9 : this.n <= 30000 ? 0.75 : 0.6;
    this.#sort();
    this.dress();
  }

  // Orders of drawing: pictures below, texts above; pictures and names by a rank that never changes.
  #sort() {
    const all = Array.from({ length: this.n }, (_, i) => i);
    this.order = Int32Array.from([...all.filter((i) => !this.shapes[i]), ...all.filter((i) => this.shapes[i])]);
    this.illustrated = all.filter((i) => (this.thumbs[i] ?? -1) >= 0);
    const depth = (i) => this.data.depths?.[i] ?? 99;
    this.named = all.filter((i) => this.shapes[i]).sort((i, j) => depth(i) - depth(j)).slice(0, 400);
    // Edges of the tree between texts, level by level while they can be told apart; those that hang
    // pictures on it are drawn for one text at a time.
    const edges = all.filter((i) => this.parents[i] >= 0 && this.shapes[i]);
    const levels = [...new Set(edges.map(depth))].sort((a, b) => a - b);
    this.branches = [];
    for (const level of levels) {
      const more = edges.filter((i) => depth(i) === level);
      if (this.branches.length + more.length > 300) break;
      this.branches.push(...more);
    }
    this.family = new Map();
    for (const i of all) {
      const parent = this.parents[i];
      if (parent < 0) continue;
      if (this.family.has(parent)) this.family.get(parent).push(i);
      else this.family.set(parent, [i]);
    }
  }

  name(i) {
    const text = this.data.captions[i];
    return text.length > 60 ? text.slice(0, 59) + "…" : text;
  }

  path(i) {
    return (this.data.paths?.[i] ?? []).map((label) => this.data.labels[label]);
  }

  children(i) {
    return this.family.get(i) ?? [];
  }

  // Parents, nearest first; a loop in the data ends the walk.
  ancestors(i) {
    const chain = [];
    for (let j = this.parents[i]; j >= 0 && j !== i && !chain.includes(j); j = this.parents[j]) chain.push(j);
    return chain;
  }

  // Colours of the style sheet, read anew when the paper turns dark or light.
  dress() {
    const css = getComputedStyle(document.documentElement);
    const get = (name) => css.getPropertyValue(name).trim();
    this.font = get("--sans");
    this.ink = {
      paper: get("--paper"), strong: get("--ink"), muted: get("--muted"), rule: get("--rule"),
      faint: get("--faint"), accent: get("--accent"), cone: get("--cone"),
    };
    this.series = Array.from({ length: 10 }, (_, k) => geomclip.rgb(get(`--s${k}`)));
    this.ramp = [geomclip.rgb(get("--low")), geomclip.rgb(get("--high"))];
    this.rest = geomclip.rgb(get("--muted"));
  }

  // The legend of a tint and, per panel, the colours of its points.
  paint(panel) {
    const kinds = {
      modality: () => this.#byClass((i) => this.modality[i], this.data.modalities),
      level: () => this.#byClass((i) => this.data.depths?.[i] ?? -1, this.data.levels ?? []),
      branch: () => this.#byBranch(),
      root: () => this.#byValue(panel.roots),
      violation: () => this.#byValue(panel.violation),
    };
    return kinds[this.tint]();
  }

  #byClass(of, names) {
    const colours = Array.from({ length: this.n }, (_, i) => this.#series(of(i)));
    return { colours, legend: names.map((name, k) => [name, this.#series(k)]) };
  }

  #series(k) {
    return k >= 0 ? this.series[k % this.series.length] : this.rest;
  }

  // The first label of the path; the nine commonest have a colour, the others share one.
  #byBranch() {
    const counts = new Map();
    for (const path of this.data.paths ?? []) {
      if (path.length) counts.set(path[0], (counts.get(path[0]) ?? 0) + 1);
    }
    const top = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 9).map(([label]) => label);
    const place = new Map(top.map((label, k) => [label, k]));
    const colours = Array.from({ length: this.n }, (_, i) =>
      this.#series(place.get(this.data.paths?.[i]?.[0]) ?? -1));
    const legend = top.map((label, k) => [this.data.labels[label], this.#series(k)]);
    return { colours, legend: counts.size > 9 ? [...legend, ["others", this.rest]] : legend };
  }

  #byValue(values) {
    if (!values) return { colours: Array(this.n).fill(this.rest), legend: [["not measured", this.rest]] };
    const known = values.filter(Number.isFinite).sort();
    const [low, high] = [known[0] ?? 0, known[Math.floor(0.98 * (known.length - 1))] ?? 1];
    const shades = Array.from({ length: 64 }, (_, k) =>
      this.ramp[0].map((a, j) => Math.round(a + ((this.ramp[1][j] - a) * k) / 63)));
    const colours = Array.from(values, (value) =>
      Number.isFinite(value)
        ? shades[Math.max(0, Math.min(63, Math.round((63 * (value - low)) / (high - low || 1))))]
        : this.rest);
    return { colours, legend: [[geomclip.short(low), shades[0]], [geomclip.short(high), shades[63]]] };
  }

  // Matches of a search dim the rest; so does a chosen set.
  seek(query) {
    this.query = query;
    const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) {
      this.matches = null;
    } else {
      const texts = (this.haystack ??= Array.from({ length: this.n }, (_, i) =>
        [this.data.captions[i], ...this.path(i)].join(" ").toLocaleLowerCase()));
      this.matches = [];
      texts.forEach((text, i) => words.every((word) => text.includes(word)) && this.matches.push(i));
    }
    this.dim();
  }

  dim() {
    const sets = [this.matches, this.chosen].filter(Boolean).map((list) => new Set(list));
    this.dimmed = sets.length
      ? Uint8Array.from({ length: this.n }, (_, i) => (sets.every((set) => set.has(i)) ? 0 : 1))
      : null;
  }
};

// Small pictures on one sheet, `columns` to a row.
geomclip.Sprite = class {
  constructor(spec) {
    this.ready = false;
    if (!spec) return;
    Object.assign(this, { size: spec.size, columns: spec.columns, source: spec.source });
    this.image = new Image();
    this.loaded = this.image.decode ? this.#load(spec.source) : Promise.resolve();
  }

  async #load(source) {
    this.image.src = source;
    try {
      await this.image.decode();
      this.ready = true;
    } catch {
      this.failed = true; // the page says so; the points remain
    }
  }

  // Picture k as a card of `side` at (x, y), less a rim of one pixel into which its neighbours bleed.
  draw(ink, k, x, y, side, edge) {
    const left = (k % this.columns) * this.size;
    const top = Math.floor(k / this.columns) * this.size;
    const rim = this.size < 8 ? 0 : 1;
    const inner = this.size - 2 * rim;
    ink.save();
    ink.beginPath();
    ink.roundRect(x, y, side, side, side / 9);
    ink.clip();
    ink.drawImage(this.image, left + rim, top + rim, inner, inner, x, y, side, side);
    ink.restore();
    if (!edge) return;
    ink.strokeStyle = edge;
    ink.lineWidth = 1;
    ink.stroke();
  }
};

geomclip.rgb = (text) => {
  const hex = text.replace("#", "");
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
};
