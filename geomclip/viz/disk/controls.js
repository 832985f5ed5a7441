// Search, tint, cone slider, switches, lasso, export and the table.
"use strict";
geomclip.Controls = class {
  static ROWS = 100;

  constructor(explorer) {
    this.explorer = explorer;
    const box = explorer.box;
    const find = (name) => box.querySelector(`[data-role="${name}"]`);
    this.find = find;
    const { atlas } = explorer;
    this.tints = [...find("tint").options].map((option) => option.value);
    this.page = 0;

    find("search").addEventListener("input", (event) => {
      atlas.seek(event.target.value);
      this.page = 0;
      this.say(atlas.matches ? `${atlas.matches.length.toLocaleString("en")} found` : "");
      this.#refresh();
    });
    find("search").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && atlas.matches?.length) explorer.select(atlas.matches[0]);
    });
    find("tint").addEventListener("change", (event) => {
      atlas.tint = event.target.value;
      this.#refresh();
    });
    find("cone")?.addEventListener("input", (event) => {
      atlas.minRadius = 10 ** Number(event.target.value);
      explorer.mark();
      explorer.card.select(atlas.selected);
      this.sync();
      explorer.drawOver();
      explorer.settle();
    });
    for (const input of box.querySelectorAll("[data-show]")) {
      input.addEventListener("change", () => {
        atlas.show[input.dataset.show] = input.checked;
        explorer.mark();
        explorer.drawOver();
      });
    }
    find("root").addEventListener("click", () => explorer.toRoot());
    find("lasso").addEventListener("click", () => {
      if (atlas.chosen) explorer.choose(null);
      else explorer.lassoing = !explorer.lassoing;
      this.sync();
    });
    find("export").addEventListener("click", () => this.#export());
    find("table").addEventListener("toggle", () => this.#table());
    find("earlier").addEventListener("click", () => this.#turn(-1));
    find("later").addEventListener("click", () => this.#turn(1));
  }

  #refresh() {
    this.explorer.draw();
    this.#table();
    this.explorer.settle();
  }

  say(text) {
    this.find("status").textContent = text;
  }

  // Brings every control to what the state says.
  sync() {
    const { atlas, lassoing, box } = this.explorer;
    this.find("search").value = atlas.query;
    this.find("tint").value = atlas.tint;
    const cone = this.find("cone");
    if (cone) {
      cone.value = Math.log10(atlas.minRadius);
      this.find("radius").textContent = geomclip.short(atlas.minRadius);
    }
    const lasso = this.find("lasso");
    lasso.setAttribute("aria-pressed", String(lassoing));
    lasso.textContent = atlas.chosen ? "Clear selection" : "Lasso";
    box.classList.toggle("lassoing", lassoing);
    this.#table();
  }

  legend() {
    const { panels, atlas } = this.explorer;
    const own = ["root", "violation"].includes(atlas.tint);
    panels.forEach((panel, k) => {
      const list = this.explorer.box.querySelector(`[data-legend="${k}"]`);
      const rows = own || k === 0 ? panel.legend : [];
      list.replaceChildren(...rows.map(([name, [r, g, b]]) => {
        const swatch = geomclip.make("i", { className: "swatch" });
        swatch.style.background = `rgb(${r},${g},${b})`;
        return geomclip.make("li", {}, swatch, name);
      }));
    });
  }

  // The rows that the table and the export speak of.
  rows() {
    const { atlas } = this.explorer;
    const all = atlas.chosen ?? atlas.matches ?? Array.from({ length: atlas.n }, (_, i) => i);
    return atlas.dimmed ? all.filter((i) => !atlas.dimmed[i]) : all;
  }

  #turn(by) {
    this.page += by;
    this.#table();
  }

  #table() {
    if (!this.find("table").open) return;
    const { atlas, panels } = this.explorer;
    const rows = this.rows();
    const size = geomclip.Controls.ROWS;
    const pages = Math.max(1, Math.ceil(rows.length / size));
    this.page = Math.max(0, Math.min(pages - 1, this.page));
    const make = geomclip.make;
    this.find("rows").replaceChildren(...rows.slice(this.page * size, (this.page + 1) * size).map((i) => {
      const button = make("button", { type: "button", className: "link" }, atlas.name(i));
      button.addEventListener("click", () => this.explorer.select(i));
      const head = make("th", { scope: "row" }, button);
      return make("tr", {}, head, make("td", {}, atlas.data.modalities[atlas.modality[i]]),
        make("td", {}, atlas.path(i).join(" › ")),
        ...panels.map((panel) => make("td", {}, geomclip.digits(panel.roots[i]))));
    }));
    this.find("earlier").disabled = this.page === 0;
    this.find("later").disabled = this.page === pages - 1;
    this.find("count").textContent =
      `${rows.length.toLocaleString("en")} samples, page ${this.page + 1} of ${pages.toLocaleString("en")}`;
  }

  // A spreadsheet must not take a caption for a formula: such cells get an apostrophe in front.
  static cell(value) {
    const text = String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  csv() {
    const { atlas, panels } = this.explorer;
    const head = ["id", "modality", "caption", "path",
      ...panels.flatMap(({ spec }) => [`${spec.name} root distance`, `${spec.name} u`, `${spec.name} v`])];
    const lines = this.rows().map((i) => [
      atlas.data.ids?.[i] ?? i, atlas.data.modalities[atlas.modality[i]], atlas.data.captions[i],
      atlas.path(i).join(" > "),
      ...panels.flatMap((panel) => [panel.roots[i], panel.planar[2 * i], panel.planar[2 * i + 1]]),
    ]);
    return [head, ...lines].map((line) => line.map(geomclip.Controls.cell).join(",")).join("\r\n") + "\r\n";
  }

  #export() {
    const url = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv;charset=utf-8" }));
    geomclip.make("a", { href: url, download: "samples.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
};
