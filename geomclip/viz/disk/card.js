// What the page says about a sample: a label at the pointer, and the card of the selected one.
"use strict";
geomclip.Card = class {
  constructor(explorer) {
    this.explorer = explorer;
    this.tip = explorer.box.querySelector(".tip");
    this.card = explorer.box.querySelector(".card");
  }

  hover(panel, i, at) {
    this.tip.hidden = i < 0;
    if (i < 0) return;
    this.at = { panel, i };
    const { atlas } = this.explorer;
    const lines = [geomclip.make("strong", {}, atlas.name(i))];
    if (atlas.path(i).length) lines.push(geomclip.make("span", {}, atlas.path(i).join(" › ")));
    lines.push(geomclip.make("span", {}, `${panel.spec.name}: ${this.#measures(panel, i).join(" · ")}`));
    this.tip.replaceChildren(...this.#picture(i, 56), geomclip.make("div", {}, ...lines));
    this.place();
  }

  // The label goes with its point, inside the window.
  place() {
    if (this.tip.hidden || !this.at) return;
    const { panel, i } = this.at;
    const [x, y] = panel.screenOf(i);
    const outer = this.explorer.box.getBoundingClientRect();
    const inner = panel.box.getBoundingClientRect();
    const left = inner.left - outer.left + x;
    const top = inner.top - outer.top + y;
    const { offsetWidth: w, offsetHeight: h } = this.tip;
    this.tip.style.left = Math.max(0, Math.min(outer.width - w, left + (left + w + 16 > outer.width ? -w - 14 : 14))) + "px";
    this.tip.style.top = Math.max(0, top - h - 10) + "px";
  }

  #measures(panel, i) {
    const { atlas } = this.explorer;
    const parts = [`${geomclip.digits(panel.roots[i])} from the root, ${panel.spec.unit}`];
    if (panel.spec.cones) parts.push(`half aperture ${geomclip.digits(panel.halfAperture(i, atlas.minRadius))} rad`);
    const beyond = panel.violation?.[i];
    if (Number.isFinite(beyond)) parts.push(beyond > 0 ? `${geomclip.digits(beyond)} rad outside its parent's cone` : "inside its parent's cone");
    return parts;
  }

  // What one geometry says about sample i.
  #space(panel, i, jump) {
    const make = geomclip.make;
    const { atlas } = this.explorer;
    const body = [make("h4", {}, panel.spec.name), ...this.#measures(panel, i).map((text) => make("p", {}, text))];
    if (panel.spec.cones) {
      body.push(make("p", {}, `${panel.held.length.toLocaleString("en")} of ${(atlas.n - 1).toLocaleString("en")} `
        + `samples in its cone at K = ${geomclip.short(atlas.minRadius)}, as drawn`));
    }
    const steps = panel.spec.traversals?.[i] ?? [];
    if (steps.length) {
      body.push(make("h5", {}, "Met on the way to the root"));
      body.push(make("ol", { className: "way" },
        ...steps.map((j) => make("li", {}, j < 0 ? make("em", {}, "the root") : jump(j)))));
    }
    return make("div", {}, ...body);
  }

  #picture(i, side) {
    const { atlas } = this.explorer;
    const { sprite, thumbs } = atlas;
    if (!sprite.ready || !((thumbs[i] ?? -1) >= 0)) return [];
    const canvas = geomclip.make("canvas", { width: 2 * side, height: 2 * side, role: "img" });
    canvas.setAttribute("aria-label", atlas.name(i));
    canvas.style.width = canvas.style.height = side + "px";
    sprite.draw(canvas.getContext("2d"), thumbs[i], 0, 0, 2 * side);
    return [canvas];
  }

  select(i) {
    const { card } = this;
    const { atlas, panels } = this.explorer;
    if (i < 0) {
      card.replaceChildren(geomclip.make("p", { className: "note" },
        "Point at a sample to see what it is; click it to see its ancestors, the way to the root and its cone."));
      return;
    }
    const make = geomclip.make;
    const jump = (j) => {
      const button = make("button", { type: "button", className: "link" }, atlas.name(j));
      button.addEventListener("click", () => this.explorer.select(j));
      return button;
    };
    const list = (title, indices) => indices.length === 0 ? [] : [
      make("h4", {}, title),
      make("ul", {}, ...indices.slice(0, 12).map((j) => make("li", {}, jump(j)))),
      ...(indices.length > 12 ? [make("p", { className: "note" }, `and ${(indices.length - 12).toLocaleString("en")} more`)] : []),
    ];
    const body = [make("h3", {}, atlas.data.captions[i].slice(0, 400)), ...this.#picture(i, 96)];
    if (atlas.path(i).length) body.push(make("p", { className: "note" }, atlas.path(i).join(" › ")));
    body.push(...list("Ancestors", atlas.ancestors(i)));
    body.push(make("div", { className: "spaces" }, ...panels.map((panel) => this.#space(panel, i, jump))));
    body.push(...list("Below it in the label tree", atlas.children(i)));
    card.replaceChildren(...body);
  }
};

// An element with properties and children; strings become text, never markup.
geomclip.make = (tag, properties = {}, ...children) => {
  const { role, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  if (role) element.setAttribute("role", role);
  element.append(...children);
  return element;
};
