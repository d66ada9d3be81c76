// Which threads touched which numbers: lists of the trace, and the picture of them over a heat map.

import { el } from "./dom.js";
import { bytesOf, page } from "./data.js";
import { repaint } from "./heat.js";

const VERBS = [["read", "read by"], ["write", "written by"]];
const decoded = new Map();

/** One list: pairs of a thread and an element, how many elements each thread touches, and how many are touched at all. */
function list(number) {
  if (!decoded.has(number)) {
    const pairs = new Uint16Array(bytesOf(page.touches[number]).buffer);
    const perThread = new Uint16Array(page.threads), seen = new Uint8Array(65536);
    let elements = 0;
    for (let n = 0; n < pairs.length; n += 2) {
      perThread[pairs[n]] += 1;
      elements += 1 - seen[pairs[n + 1]];
      seen[pairs[n + 1]] = 1;
    }
    decoded.set(number, { pairs, perThread, elements, threads: perThread.filter((x) => x).length });
  }
  return decoded.get(number);
}

/** The elements of a thread, or the threads of an element: of each pair the other half, where one half is given. */
function others(number, half, value) {
  const { pairs } = list(number), found = [];
  for (let n = 0; n < pairs.length; n += 2) if (pairs[n + half] === value) found.push(pairs[n + 1 - half]);
  return found;
}

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
    const threads = verb in touched ? others(touched[verb], 1, element) : [];
    return threads.length ? `${says} thread${threads.length > 1 ? "s" : ""} ${runs(threads)}` : null;
  }).filter(Boolean).join("; ");
}

/** How many numbers each thread touches in a phase, in all pictures together. */
export function counts(step) {
  const found = new Float32Array(page.threads);
  for (const touched of Object.values(step.touched)) {
    for (const number of Object.values(touched)) list(number).perThread.forEach((x, thread) => { found[thread] += x; });
  }
  return found;
}

/** Under a picture: what happens to it in this phase. */
export function sayAll(touched, thread) {
  const parts = VERBS.map(([verb, says]) => {
    if (!(verb in touched)) return null;
    const { elements, threads, perThread } = list(touched[verb]);
    return thread === null ? `${elements} ${says} ${threads} threads` : `${perThread[thread]} ${says} thread ${thread}`;
  }).filter(Boolean);
  return parts.join("; ") || "not touched";
}

/** Make pale what nobody touches, and ring what one thread touches: thick what it writes. null: nothing is told. */
export function overlay(figure, touched, thread) {
  const numbers = Object.values(touched || {});
  const key = `${touched ? numbers : "all"} ${document.documentElement.dataset.theme}`;
  if (figure.dataset.touched !== key) {
    repaint(figure, touched ? brightOf(numbers, figure.map.m) : null);
    figure.dataset.touched = key;
  }
  figure.querySelector(".rings")?.remove();
  if (thread !== null && numbers.length) figure.querySelector(".board").append(rings(figure.map, touched, thread));
}

/** 1 where one of the lists has an element. */
function brightOf(numbers, m) {
  const bright = new Uint8Array(m.rows * m.columns);
  for (const number of numbers) {
    const { pairs } = list(number);
    for (let n = 1; n < pairs.length; n += 2) bright[pairs[n]] = 1;
  }
  return bright;
}

/** Boxes around the numbers of one thread. */
function rings({ m, size }, touched, thread) {
  const view = el("svg", { class: "rings", "aria-hidden": "true", width: size.wide * m.columns, height: size.high * m.rows });
  for (const [verb] of VERBS) {
    for (const element of verb in touched ? others(touched[verb], 0, thread) : []) {
      view.append(el("rect", { class: verb, x: (element % m.columns) * size.wide + 1, y: Math.floor(element / m.columns) * size.high + 1,
        width: size.wide - 2, height: size.high - 2 }));
    }
  }
  return view;
}
