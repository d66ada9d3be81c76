// Axes with numbers, for the pictures that are charts.

import { el, digits } from "./dom.js";

/** About `count` round numbers between two: 1, 2 or 5 times a power of ten apart. */
export function ticks(low, high, count = 5) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= rough * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

/** Marks with their numbers, up an axis at `x`. */
export function upright(x, y, values) {
  return values.map((v) => [el("line", { x1: x - 4, x2: x, y1: y(v), y2: y(v), class: "axis" }),
    el("text", { x: x - 7, y: y(v) + 4, "text-anchor": "end" }, digits(v, 3))]);
}

/** The same along one at `y`. */
export function along(y, x, values) {
  return values.map((v) => [el("line", { x1: x(v), x2: x(v), y1: y, y2: y + 4, class: "axis" }),
    el("text", { x: x(v), y: y + 17, "text-anchor": "middle" }, digits(v, 3))]);
}
