// Opens what the page has: the explorer on its data, the cone playground.
"use strict";
{
  const root = document.documentElement;
  const atlas = document.getElementById("atlas");
  if (atlas) {
    const data = JSON.parse(atlas.textContent);
    geomclip.explorer = new geomclip.Explorer(document.getElementById("explorer"), data);
    root.dataset.explored = String(data.panels.length);
  }
  const playground = document.getElementById("playground");
  if (playground) geomclip.playground = new geomclip.Playground(playground);
}
