// Draws the charts with the colours of the page: every string `var(--name)` or `var(--name, opacity)`
// in a specification is looked up in the style sheet, again whenever the paper turns dark or light.
"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const variable = /^var\((--[\w-]+)(?:, ([\d.]+))?\)$/;

  function resolve(value, css) {
    if (typeof value === "string") {
      const found = variable.exec(value);
      if (!found) return value;
      const colour = css.getPropertyValue(found[1]).trim();
      if (found[2] === undefined) return colour;
      const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
      return `rgba(${r},${g},${b},${found[2]})`;
    }
    if (Array.isArray(value)) return value.map((v) => resolve(v, css));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, css)]));
    }
    return value;
  }

  function draw() {
    const css = getComputedStyle(root);
    const family = css.getPropertyValue("--sans").trim();
    const drawn = Object.entries(specs).map(([id, spec]) => {
      const layout = resolve(spec.layout, css);
      layout.font.family = family;
      const config = { responsive: true, displayModeBar: false, doubleClick: false };
      return Plotly.react(id, resolve(spec.data, css), layout, config);
    });
    return Promise.all(drawn).then(() => { root.dataset.drawn = String(drawn.length); });
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // Paper is white, and a closed table can't be opened on it.
  let opened = [];
  addEventListener("beforeprint", () => {
    root.classList.add("light");
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const element of opened) element.open = true;
    draw();
  });
  addEventListener("afterprint", () => {
    root.classList.remove("light");
    for (const element of opened) element.open = false;
    draw();
  });
})();
