// Points into a pixel buffer: the same pixels in every browser, and fast without a GPU.
"use strict";
globalThis.geomclip ??= {};
geomclip.Paint = class {
  // Coverage of a disc and of a diamond (0 to 255) for sizes in quarter pixels.
  static #stamps = new Map();

  static stamp(shape, radius) {
    const key = shape + Math.round(radius * 4);
    let found = geomclip.Paint.#stamps.get(key);
    if (found) return found;
    const r = Math.round(radius * 4) / 4;
    const reach = Math.ceil(r);
    const side = 2 * reach + 1;
    const cover = new Uint8Array(side * side);
    for (let j = -reach; j <= reach; j++)
      for (let i = -reach; i <= reach; i++) {
        const d = shape === "disc" ? Math.hypot(i, j) : (Math.abs(i) + Math.abs(j)) / 1.2;
        cover[(j + reach) * side + i + reach] = 255 * Math.min(1, Math.max(0, r - d + 0.5));
      }
    found = { reach, side, cover };
    geomclip.Paint.#stamps.set(key, found);
    return found;
  }

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = this.context.createImageData(width, height);
    this.words = new Uint32Array(this.image.data.buffer);
  }

  clear() {
    this.words.fill(0);
  }

  // One point: colour is [r, g, b]; opacity from 0 to 1.
  point(x, y, stamp, colour, opacity) {
    const { width, height, data } = this.image;
    const { reach, side, cover } = stamp;
    const [left, top] = [Math.round(x) - reach, Math.round(y) - reach];
    if (left < 0 || top < 0 || left + side > width || top + side > height) return;
    const [r, g, b] = colour;
    let k = 0;
    for (let j = 0; j < side; j++) {
      let at = 4 * ((top + j) * width + left);
      for (let i = 0; i < side; i++, at += 4, k++) {
        const alpha = cover[k] * opacity;
        if (alpha === 0) continue;
        const under = data[at + 3];
        if (alpha >= 254 || under === 0) {
          data[at] = r;
          data[at + 1] = g;
          data[at + 2] = b;
          data[at + 3] = alpha > under ? alpha : under;
          continue;
        }
        // "Over", for straight alpha.
        const rest = (under * (255 - alpha)) / 255;
        const sum = alpha + rest;
        data[at] = (r * alpha + data[at] * rest) / sum;
        data[at + 1] = (g * alpha + data[at + 1] * rest) / sum;
        data[at + 2] = (b * alpha + data[at + 2] * rest) / sum;
        data[at + 3] = sum;
      }
    }
  }

  show() {
    this.context.putImageData(this.image, 0, 0);
  }
};
