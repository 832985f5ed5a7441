// Pointer, wheel, touch and keyboard on a panel; what they mean is up to the explorer.
"use strict";
geomclip.gestures = (panel, explorer) => {
  const canvas = panel.over;
  const pointers = new Map();
  let moved = 0;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    moved = 0;
    if (explorer.lassoing || event.altKey) panel.lasso = [place(event)];
  });

  canvas.addEventListener("pointermove", (event) => {
    const to = place(event);
    const from = pointers.get(event.pointerId);
    if (!from) return explorer.hover(panel, event.pointerType === "mouse" ? panel.nearest(...to) : -1, to);
    moved += Math.hypot(to[0] - from[0], to[1] - from[1]);
    if (panel.lasso) {
      panel.lasso.push(to);
      panel.drawOver();
    } else if (pointers.size === 2) {
      pinch(event.pointerId, from, to);
    } else if (event.shiftKey) {
      const angle = ([x, y]) => Math.atan2(panel.side / 2 - y, x - panel.side / 2);
      panel.view.turn(angle(to) - angle(from));
    } else {
      panel.drag(from, to);
    }
    pointers.set(event.pointerId, to);
    if (!panel.lasso) explorer.moved(panel);
  });

  // Two fingers: their midpoint drags, their distance magnifies, their direction turns.
  function pinch(id, from, to) {
    const [, other] = [...pointers].find(([key]) => key !== id);
    const middle = (p) => [(p[0] + other[0]) / 2, (p[1] + other[1]) / 2];
    const length = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
    const angle = (p) => Math.atan2(other[1] - p[1], p[0] - other[0]);
    panel.drag(middle(from), middle(to));
    panel.magnify(length(to) / length(from), ...middle(to));
    panel.view.turn(angle(to) - angle(from));
  }

  function release(event) {
    if (!pointers.delete(event.pointerId)) return;
    if (panel.lasso) {
      const path = panel.lasso;
      panel.lasso = null;
      explorer.choose(path.length > 2 ? panel.inside(path) : null);
    } else if (event.type === "pointerup" && moved < 5) {
      explorer.select(panel.nearest(...place(event)));
    } else {
      explorer.settle();
    }
  }
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => explorer.hover(panel, -1));

  canvas.addEventListener("dblclick", (event) => {
    const at = place(event);
    const i = panel.nearest(...at);
    explorer.glide(panel, i >= 0 ? panel.point(i) : panel.space.unproject(...panel.toPicture(...at)), i);
  });

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    panel.magnify(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...place(event));
    explorer.moved(panel);
    explorer.settle();
  }, { passive: false });

  // Arrows move, + and - magnify, [ and ] turn, 0 or Home goes to the root. Enter takes up the points:
  // then Tab goes from one to the next, nearest to the centre first, and Escape lets go.
  canvas.addEventListener("keydown", (event) => {
    const middle = panel.side / 2;
    const step = event.shiftKey ? 96 : 32;
    const shifts = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const keys = {
      "+": () => panel.magnify(1.2), "=": () => panel.magnify(1.2), "-": () => panel.magnify(1 / 1.2),
      "[": () => panel.view.turn(Math.PI / 18), "]": () => panel.view.turn(-Math.PI / 18),
      0: () => panel.reset(), Home: () => panel.reset(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in shifts) {
      const [dx, dy] = shifts[event.key];
      panel.drag([middle, middle], [middle + dx, middle + dy]);
    } else if (event.key in keys) {
      keys[event.key]();
    } else if (event.key === "Enter") {
      if (explorer.walk) explorer.glide(panel, panel.point(explorer.atlas.selected), explorer.atlas.selected);
      else explorer.startWalk(panel);
    } else if (event.key === "Tab" && explorer.walk) {
      explorer.step(panel, event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      explorer.letGo();
    } else {
      return;
    }
    event.preventDefault();
    explorer.moved(panel);
    explorer.settle();
  });
};
