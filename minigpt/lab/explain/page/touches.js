// Which threads touched which numbers: lists of the trace, and the picture of them over a heat map.

import { el } from "./dom.js";
import { bytesOf, page } from "./data.js";

const decoded = new Map();

/** One list: `byElement` to its threads, and `byThread` to its elements. */
function list(number) {
  if (!decoded.has(number)) {
    const pairs = new Uint16Array(bytesOf(page.touches[number]).buffer);
    const byElement = new Map(), byThread = new Map();
    for (let n = 0; n < pairs.length; n += 2) {
      push(byThread, pairs[n], pairs[n + 1]);
      push(byElement, pairs[n + 1], pairs[n]);
    }
    decoded.set(number, { byElement, byThread, length: pairs.length / 2 });
  }
  return decoded.get(number);
}

function push(map, key, value) {
  const found = map.get(key);
  if (found) found.push(value);
  else map.set(key, [value]);
}

const VERBS = [["read", "read by"], ["write", "written by"]];

/** Numbers in runs: "0–15, 20". */
export function runs(numbers) {
  const parts = [];
  for (const n of numbers) {
    const last = parts[parts.length - 1];
    if (last && last[1] === n - 1) last[1] = n;
    else parts.push([n, n]);
  }
  const shown = parts.slice(0, 4).map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`)).join(", ");
  return parts.length > 4 ? `${shown}, …` : shown;
}

/** Who touches one number in this phase. */
export function sayWho(touched, element) {
  return VERBS.map(([verb, says]) => {
    const threads = verb in touched ? list(touched[verb]).byElement.get(element) : null;
    return threads ? `${says} thread${threads.length > 1 ? "s" : ""} ${runs(threads)}` : null;
  }).filter(Boolean).join("; ");
}

/** How many numbers each thread touches in a phase, in all pictures together. */
export function counts(step) {
  const found = new Float32Array(page.threads);
  for (const touched of Object.values(step.touched)) {
    for (const number of Object.values(touched)) {
      for (const [thread, elements] of list(number).byThread) found[thread] += elements.length;
    }
  }
  return found;
}

/** Under a picture: what happens to it in this phase. */
export function sayAll(touched, thread) {
  const parts = VERBS.map(([verb, says]) => {
    if (!(verb in touched)) return null;
    const { byElement, byThread } = list(touched[verb]);
    if (thread === null) return `${byElement.size} ${says} ${byThread.size} threads`;
    return `${(byThread.get(thread) || []).length} ${says} thread ${thread}`;
  }).filter(Boolean);
  return parts.join("; ") || "not touched";
}

let inks = null;

/** Read the colours of the theme, once a step: each time that the page was changed before, it costs a layout. */
export function readInks() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  inks = { paper: read("--paper"), read: read("--ink"), write: read("--focus") };
}

/** Veil what nobody touches in this phase, and ring what one thread touches: dashed what it only reads. */
export function overlay(figure, touched, thread) {
  if (!Object.keys(touched).length) {
    figure.classList.add("untouched");
    return figure;
  }
  const { m, size } = figure.map;
  const canvas = el("canvas", { class: "veil", "aria-hidden": "true" });
  canvas.width = Math.round(size.wide * m.columns);
  canvas.height = Math.round(size.high * m.rows);
  const context = canvas.getContext("2d");
  context.fillStyle = inks.paper;
  context.globalAlpha = 0.72;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  const box = (element) => [(element % m.columns) * size.wide, Math.floor(element / m.columns) * size.high];
  for (const number of Object.values(touched)) {
    for (const element of list(number).byElement.keys()) context.clearRect(...box(element), size.wide, size.high);
  }
  if (thread !== null) {
    for (const [verb] of VERBS) {
      if (!(verb in touched)) continue;
      context.strokeStyle = verb === "read" ? inks.read : inks.write;
      context.lineWidth = verb === "read" ? 1.5 : 2.5;
      for (const element of list(touched[verb]).byThread.get(thread) || []) {
        const [x, y] = box(element);
        context.strokeRect(x + 1, y + 1, size.wide - 2, size.high - 2);
      }
    }
  }
  figure.querySelector(".board").append(canvas);
  return figure;
}
