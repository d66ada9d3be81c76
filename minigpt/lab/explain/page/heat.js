// Heat maps: one number is one square; orange is positive, blue negative, the background zero, hatched −∞.

import { el, digits, quoted, word } from "./dom.js";
import { array, keptText, matrix, page, shapeText, trueIndex } from "./data.js";
import { state } from "./state.js";

const tip = document.getElementById("tip");
const readout = document.getElementById("readout");
const TOKENS = ["token", "query", "key", "place"];

const LEVELS = 255; // shades of a colour
const PALE = 0.28; // of a colour, where it is not what matters

function pixel(channels) {
  const [r, g, b] = channels.map(Math.round);
  return (255 << 24) | (b << 16) | (g << 8) | r; // as ImageData has them in memory
}

/** All shades as pixels: below zero, zero in the middle, above; the same pale; and the two of the pattern for −∞. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim().split(",").map(Number);
  const zero = read("--zero"), plus = read("--plus"), minus = read("--minus"), never = read("--never");
  const mix = (to, share) => pixel(zero.map((from, c) => from + share * (to[c] - from)));
  const shades = new Uint32Array(2 * LEVELS + 1), pale = new Uint32Array(2 * LEVELS + 1);
  for (let n = -LEVELS; n <= LEVELS; n++) {
    const share = 0.05 + (0.95 * Math.abs(n)) / LEVELS;
    shades[n + LEVELS] = n ? mix(n < 0 ? minus : plus, share) : pixel(zero);
    pale[n + LEVELS] = n ? mix(n < 0 ? minus : plus, PALE * share) : pixel(zero);
  }
  return { shades, pale, never: [mix(never, 0.16), mix(never, 0.34)] };
}

let colours = palette();
export function refreshColours() {
  colours = palette();
}

/** What an axis counts: a list of tokens, or the vocabulary, or nothing that has a name. */
function labelsOf(a, axis, lists) {
  if (axis === null) return null;
  const kind = a.axes[axis];
  if (kind === "vocabulary") return { vocabulary: true, text: (n) => page.words[trueIndex(a, axis, n)] ?? "" };
  if (!TOKENS.includes(kind)) return null;
  const name = kind === "key" ? lists.keys : kind === "place" ? page.outputs : lists.rows;
  const list = page.lists[name];
  if (!list || list.length !== a.shape[axis]) return null;
  return { list: name, text: (n) => list[trueIndex(a, axis, n)] };
}

/** Paint a matrix, one pixel a number; the browser makes the pixels large. Where `bright` has a 0 it is pale. */
function paint(canvas, a, m, reach, bright) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(m.columns, m.rows);
  const pixels = new Uint32Array(image.data.buffer);
  const { never } = colours;
  const scale = 1 / (reach || a.largest || 1);
  for (let n = 0; n < pixels.length; n++) {
    const x = a.values[m.start + n], shades = bright && !bright[n] ? colours.pale : colours.shades;
    if (x === -Infinity) pixels[n] = never[(Math.floor(n / m.columns) + (n % m.columns)) % 2]; // as no number looks
    else {
      const level = x ? Math.max(1, Math.round(LEVELS * Math.sqrt(Math.min(1, Math.abs(x) * scale)))) : 0;
      pixels[n] = shades[LEVELS + (x < 0 ? -level : level)];
    }
  }
  context.putImageData(image, 0, 0);
}

/** Paint a figure anew: with the colours of now, and pale where `bright` has a 0. */
export function repaint({ map }, bright = null) {
  paint(map.canvas, map.a, map.m, map.options.reach, bright);
}

/** The size of a square. Named rows are as high as their text. */
function cell(m, rowLabels, columnLabels, { width = 300, small, side: given }) {
  if (given) return { wide: given, high: given };
  if (small) {
    const side = Math.max(2, Math.min(18, width / m.columns));
    return { wide: side, high: side };
  }
  const wide = Math.max(1, Math.min(columnLabels ? 22 : 16, Math.floor(width / m.columns)));
  if (columnLabels && !columnLabels.vocabulary) {
    const side = Math.max(9, Math.min(22, Math.floor(width / m.columns)));
    return { wide: side, high: rowLabels ? Math.max(side, 13) : side };
  }
  const high = rowLabels ? Math.max(13, Math.min(17, Math.floor(380 / m.rows))) : Math.max(3, Math.min(16, wide));
  return { wide: m.columns === 1 ? 22 : wide, high: m.rows === 1 ? 18 : high };
}

/**
 * A figure of an array.
 * options: name, sign, rows and keys (lists of tokens), width, reach (what the strongest colour stands for),
 * small (no caption), side (pixels of a square), divide (columns at which parts begin), choose(row, column), note(row, column): more to say.
 * `number` is that of one of the page's arrays, or an array itself.
 */
export function heat(number, options) {
  const a = typeof number === "number" ? array(number) : number;
  const m = matrix(a, state.head, page.model.heads);
  const rowLabels = labelsOf(a, m.rowAxis, options);
  const columnLabels = labelsOf(a, m.columnAxis, options);
  const size = cell(m, rowLabels, columnLabels, options);
  const canvas = el("canvas", {
    role: "img", tabindex: "0", width: String(m.columns), height: String(m.rows), style: `width:${size.wide * m.columns}px;height:${size.high * m.rows}px`,
    "aria-label": `${options.name}, shape ${shapeText(a)}, norm ${digits(a.norm)}. Arrow keys read single numbers.`,
  });
  paint(canvas, a, m, options.reach);
  const rowMark = el("div", { class: "mark", hidden: true });
  const columnMark = el("div", { class: "mark", hidden: true });
  const grid = Math.min(size.wide, size.high) >= 8
    ? el("div", { class: "grid", style: `background-size:${size.wide}px ${size.high}px` }) : null;
  const dividers = (options.divide || []).map((d) =>
    el("div", { class: "divide", style: `left:${size.wide * d.at}px`, "data-name": d.name }));
  const board = el("div", { class: "board" }, canvas, grid, rowMark, columnMark, dividers);
  const table = el("div", { class: "table" },
    columnLabels && !columnLabels.vocabulary && !options.small ? columnNames(m, columnLabels, size) : null,
    rowLabels && !options.small ? rowNames(m, rowLabels, size) : null, board);
  const figure = el("figure", { class: options.small ? "heat small" : "heat", "data-name": options.name },
    options.small ? null : caption(a, options), el("div", { class: "scroll" }, table));
  const map = { head: state.head, a, m, size, canvas, options, rowLabels, columnLabels, rowMark, columnMark, figure };
  canvas.addEventListener("pointermove", (event) => hover(map, at(map, event), event));
  canvas.addEventListener("pointerleave", () => leave(map));
  canvas.addEventListener("keydown", (event) => walk(map, event));
  canvas.addEventListener("blur", () => leave(map));
  canvas.addEventListener("click", (event) => {
    const place = at(map, event);
    hover(map, place, event);
    if (options.choose) options.choose(place.row, place.column);
  });
  figure.map = map;
  return figure;
}

function caption(a, options) {
  const kept = keptText(a);
  return el("figcaption", {},
    options.sign ? el("span", { class: "sign" }, options.sign) : null,
    el("b", {}, options.name), " ", el("span", { class: "shape" }, shapeText(a)),
    el("span", { class: "norm" }, ` norm ${digits(a.norm, 4)}`), kept ? el("small", {}, kept) : null);
}

/** The names of rows, one line each: a single text, since elements take time. */
function rowNames(m, labels, size) {
  const names = Array.from({ length: m.rows }, (_, n) => word(labels.text(n)));
  const chosen = state.row[labels.list];
  const text = (from, to) => names.slice(from, to).map((name) => `${name}\n`).join("");
  return el("div", { class: "rows", "aria-hidden": "true", style: `line-height:${size.high}px;font-size:${Math.min(11.5, size.high - 2.5)}px` },
    text(0, chosen ?? m.rows), chosen < m.rows ? [el("b", {}, names[chosen]), `\n${text(chosen + 1)}`] : null);
}

function columnNames(m, labels, size) {
  const names = Array.from({ length: m.columns }, (_, n) => word(labels.text(n)));
  return el("div", { class: "columns", "aria-hidden": "true" },
    el("span", { style: `line-height:${size.wide}px;width:${size.wide * m.columns}px` }, names.join("\n")));
}

function at(map, event) {
  const box = map.canvas.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * map.m.columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * map.m.rows);
  return {
    row: Math.min(map.m.rows - 1, Math.max(0, row)), column: Math.min(map.m.columns - 1, Math.max(0, column)),
  };
}

function describe(map, place) {
  const { a, m } = map;
  const parts = [];
  if (a.axes[0] === "head" && a.axes.length === 3) parts.push(`head ${map.head + 1}`);
  const part = (axis, n, labels) => {
    const index = trueIndex(a, axis, n);
    const kind = { in: "row", feature: "column", vocabulary: "token" }[a.axes[axis]] || a.axes[axis];
    return labels ? `${kind} ${index} ${quoted(labels.text(n) ?? "")}` : `${kind} ${index}`;
  };
  if (m.rowAxis !== null) parts.push(part(m.rowAxis, place.row, map.rowLabels));
  if (m.columnAxis !== null) parts.push(part(m.columnAxis, place.column, map.columnLabels));
  return parts.join(", ");
}

/** The number of a cell. */
function valueAt(map, place) {
  return map.a.values[map.m.start + place.row * map.m.columns + place.column];
}

function hover(map, place, event) {
  map.place = place;
  const note = map.options.note?.(place.row, place.column);
  const text = `${map.options.name}: ${describe(map, place)}${note ? `; ${note}` : ""}`;
  const number = digits(valueAt(map, place));
  tip.replaceChildren(el("b", {}, number), el("span", {}, text));
  tip.hidden = false;
  const box = map.canvas.getBoundingClientRect();
  const x = event ? event.clientX : box.left + (place.column + 0.5) * map.size.wide;
  const y = event ? event.clientY : box.top + (place.row + 0.5) * map.size.high;
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
  if (!event) readout.textContent = `${text}: ${number}`;
  const wanted = {};
  if (map.m.rowAxis !== null) wanted[map.a.axes[map.m.rowAxis]] = place.row;
  if (map.m.columnAxis !== null) wanted[map.a.axes[map.m.columnAxis]] = place.column;
  for (const other of map.figure.parentElement?.children || []) if (other.map) mark(other.map, wanted);
}

/** Outline the row and the column that an index stands for. */
function mark(map, wanted) {
  const index = (axis) => {
    if (axis === null) return undefined;
    const kind = map.a.axes[axis];
    return wanted[kind] ?? (kind === "query" ? wanted.token : kind === "token" ? wanted.query : undefined);
  };
  const row = index(map.m.rowAxis), column = index(map.m.columnAxis);
  const { wide, high } = map.size;
  place(map.rowMark, row < map.m.rows, 0, row * high, wide * map.m.columns, high);
  place(map.columnMark, column < map.m.columns, column * wide, 0, wide, high * map.m.rows);
}

function place(box, visible, left, top, width, height) {
  box.hidden = !visible;
  if (visible) box.style.cssText = `left:${left}px;top:${top}px;width:${width}px;height:${height}px`;
}

function leave(map) {
  tip.hidden = true;
  for (const other of map.figure.parentElement?.children || []) {
    if (other.map) other.map.rowMark.hidden = other.map.columnMark.hidden = true;
  }
  rest(map.figure.parentElement);
}

/** Outline a part of a figure whenever nothing is under the pointer: so many numbers from a row and a column on. */
export function outline({ map }, row, column, rows, columns) {
  const { wide, high } = map.size;
  map.resting = [column * wide, row * high, columns * wide, rows * high];
  place(map.rowMark, true, ...map.resting);
}

/** With nothing under the pointer, the chosen token's row is outlined, or what was said. */
export function rest(parent) {
  for (const figure of parent?.children || []) {
    const map = figure.map;
    if (map?.resting) place(map.rowMark, true, ...map.resting);
    if (!map || !map.rowLabels?.list || map.options.quiet) continue;
    const row = state.row[map.rowLabels.list];
    place(map.rowMark, row < map.m.rows, 0, row * map.size.high, map.size.wide * map.m.columns, map.size.high);
  }
}

function walk(map, event) {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key === "Enter" && map.options.choose && map.place) map.options.choose(map.place.row, map.place.column);
  if (!moves[event.key]) return;
  event.preventDefault();
  event.stopPropagation();
  const from = map.place || { row: 0, column: -moves[event.key][1] };
  const row = Math.min(map.m.rows - 1, Math.max(0, from.row + moves[event.key][0]));
  const column = Math.min(map.m.columns - 1, Math.max(0, from.column + moves[event.key][1]));
  hover(map, { row, column }, null);
}
