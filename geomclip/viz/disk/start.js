// Opens the explorer on the page's data.
"use strict";
{
  const data = JSON.parse(document.getElementById("atlas").textContent);
  geomclip.explorer = new geomclip.Explorer(document.getElementById("explorer"), data);
  document.documentElement.dataset.explored = String(data.panels.length);
}
