// Gives every live frame the height that its page asks for.
"use strict";
window.addEventListener("message", (event) => {
  if (typeof event.data?.live !== "string" || !(event.data.height > 0)) return;
  for (const frame of document.querySelectorAll(".live iframe")) {
    if (frame.contentWindow === event.source) frame.height = Math.min(2400, Math.ceil(event.data.height));
  }
});
