// The page of a kernel: a block's phases between barriers, its memories, its threads and its running softmax.

import { el, digits, prose, put } from "./dom.js";
import { page } from "./data.js";
import { change, current, goTo, listen, state } from "./state.js";
import { heat, outline } from "./heat.js";
import { makeBar, tellBar } from "./bar.js";
import { STEP_KEYS, startKeys, startTheme } from "./shell.js";
import { keepInSight, showLitLater } from "./sight.js";
import { counts, overlay, sayAll, sayWho } from "./touches.js";

const ACROSS = 16; // threads in a row of a block
const SIDE = innerWidth < 500 ? 7 : 10; // pixels of a number
const KINDS = { grid: "grid", load: "fetch", scores: "scores", mixture: "add values", write: "write" };
const NAMES = {
  qs: "qs: rows of Q", ks: "ks: rows of K", vs: "vs: rows of V", ps: "ps: exp(score − m)",
};
const KEYS = [...STEP_KEYS, ["B", "to the next block"], ["Esc", "all threads again"],
  ["Tab, then arrows", "within a picture: read single numbers; Enter among the threads chooses one"]];

const main = document.getElementById("main");
const { tile, heads } = page.sizes;
const blocks = page.grid[0] * page.grid[1];
let parts = null;

function threadOf() {
  return state.thread ?? null;
}

const place = (block) => ({ x: block % page.grid[0], y: Math.floor(block / page.grid[0]) });
const firstStep = (block) => page.steps.findIndex((s) => s.kind !== "grid" && s.block === block);

function queries(block) {
  const first = place(block).x * tile;
  return [first, Math.min(first + tile, page.sizes.tokens) - 1];
}

function draw() {
  const started = performance.now();
  if (!parts) parts = build();
  const step = current();
  drawRoad(step);
  drawStage(step);
  tellBar(parts.bar, step.kind === "grid" ? step.title : `block ${step.block}, phase ${step.phase}: ${step.title}`);
  document.documentElement.dataset.step = String(state.step);
  document.documentElement.dataset.milliseconds = (performance.now() - started).toFixed(2); // for whoever measures
}

function build() {
  const road = el("nav", { class: "road", "aria-label": "Blocks and phases" });
  const nodes = [], groups = [];
  page.steps.forEach((step, n) => {
    const title = step.kind === "grid" ? "Launch" : `Block ${step.block}`;
    if (groups[groups.length - 1]?.title !== title) {
      const view = el("section", { class: "group" }, el("button", { type: "button", class: "title", click: () => goTo(n) }, title));
      groups.push({ title, view });
      road.append(view);
    }
    const text = step.kind === "load" ? `fetch keys ${step.keys}–${Math.min(step.keys + tile, page.sizes.tokens) - 1}` : KINDS[step.kind];
    const button = el("button", { type: "button", class: "node", click: () => goTo(n) }, el("span", {}, text));
    nodes.push({ button, side: step.kind !== "load" && step.kind !== "grid", group: groups[groups.length - 1] });
    groups[groups.length - 1].view.append(button);
  });
  const stage = el("article", { id: "stage", tabindex: "-1" });
  const bar = makeBar(null, el("span", { class: "ends", "aria-hidden": "true", style: "--turn:100%" }, el("b", {}, "barrier by barrier"), el("b", {})));
  const view = el("div", { class: "steps" }, el("aside", { class: "aside" }, road), stage, bar.view);
  main.replaceChildren(view);
  return { road, nodes, groups, stage, bar };
}

function drawRoad(step) {
  parts.nodes.forEach(({ button, side }, n) => {
    put(button, "class", `node ${side ? "side" : "main"} ${n === state.step ? "here" : n < state.step ? "passed" : ""}`);
    put(button, "aria-current", n === state.step ? "step" : null);
  });
  const here = parts.nodes[state.step];
  for (const group of parts.groups) group.view.classList.toggle("open", group === here.group);
  keepInSight(parts.road, here.button);
}

function where(step) {
  const [first, last] = queries(step.block), { y } = place(step.block);
  const keys = step.kind === "write" ? null
    : `keys ${step.keys} to ${Math.min(step.keys + tile, page.sizes.tokens) - 1}`;
  const barriers = step.phase === 1 ? "1 barrier passed" : `${step.phase} barriers passed`;
  return [el("span", {}, `Block ${step.block}`), `head ${y + 1}, queries ${first} to ${last}`, keys, barriers].filter(Boolean)
    .map((part) => (typeof part === "string" ? el("span", {}, part) : part));
}

function drawStage(step) {
  const own = [el("h2", {}, step.title), el("p", { class: "say" }, prose(step.say))];
  if (step.kind === "grid") {
    own.unshift(el("p", { class: "where" }, el("span", {}, "Launch"), el("code", {}, page.kernel)));
    own.push(el("p", {}, `${page.grid[0]} × ${page.grid[1]} blocks of ${page.threads} threads, for ${page.sizes.tokens} queries and keys, `,
      `${heads} heads of ${page.sizes.width} numbers, in tiles of ${tile}. The numbers are random; every access is the emulator's own record.`),
    gridOfBlocks(null), memories(step));
  } else {
    own.unshift(el("p", { class: "where" }, where(step)));
    own.push(el("div", { class: "pictures top-row" }, el("div", { class: "pictures stacked" }, gridOfBlocks(step.block), threads(step)),
      softmax(step)), memories(step));
  }
  parts.stage.replaceChildren(...own.flat(), code(step));
}

/** The grid: a row for each head, a column for each tile of queries. */
function gridOfBlocks(chosen) {
  const cells = Array.from({ length: blocks }, (_, block) => {
    const [first, last] = queries(block);
    return el("button", {
      type: "button", class: block === chosen ? "block here" : "block", click: () => goTo(firstStep(block)),
      "aria-label": `block ${block}: head ${place(block).y + 1}, queries ${first} to ${last}`,
    }, el("b", {}, String(block)), el("small", {}, `${first}–${last}`));
  });
  return el("figure", { class: "heat" }, el("figcaption", {}, el("b", {}, "grid"), " a row a head, a column a tile of queries"),
    el("div", { class: "blocks", style: `--across:${page.grid[0]}` }, cells));
}

/** The block's threads as the kernel arranges them, with how many numbers each touches in this phase. */
function threads(step) {
  const values = counts(step);
  const shape = [page.threads / ACROSS, ACROSS];
  const a = { axes: ["ty", "tx"], shape, sizes: shape, kept: [null, null], norm: 0, values, largest: Math.max(...values) };
  const thread = threadOf();
  const figure = heat(a, {
    name: "numbers a thread touches", small: true, width: 12 * ACROSS, quiet: true, reach: 2.2 * a.largest,
    note: (row, column) => `thread ${ACROSS * row + column}, warp ${Math.floor((ACROSS * row + column) / 32)}`,
    choose: (row, column) => change({ thread: ACROSS * row + column === thread ? null : ACROSS * row + column }),
  });
  const says = thread === null ? "a line every warp of 32; choose one to see what it touches"
    : `tx ${thread % ACROSS}, ty ${Math.floor(thread / ACROSS)}, warp ${Math.floor(thread / 32)}; `;
  figure.prepend(el("figcaption", {}, el("b", {}, thread === null ? `${page.threads} threads` : `thread ${thread}`), ` ${says}`,
    thread === null ? null : el("button", { type: "button", class: "link", click: () => change({ thread: null }) }, "all again")));
  const { high } = figure.map.size;
  figure.querySelector(".board").append(el("div", { class: "warps", "aria-hidden": "true", style: `background-size:100% ${2 * high}px` }));
  if (thread !== null) outline(figure, Math.floor(thread / ACROSS), thread % ACROSS, 1, 1);
  return figure;
}

const figures = new Map(); // made once: later only what is touched changes

/** The picture of an array, with what is touched of it in this phase; null: that is not told. */
function picture(number, name, touched = null) {
  const key = `${number} ${name}`;
  if (!figures.has(key)) figures.set(key, makePicture(number, name));
  const figure = figures.get(key);
  figure.touched = touched || {};
  figure.says.textContent = touched ? sayAll(touched, threadOf()) : "";
  overlay(figure, touched, threadOf());
  return figure;
}

function makePicture(number, name) {
  const columns = page.arrays[number].shape[1];
  const figure = heat(number, { name, side: SIDE, quiet: true,
    note: (row, column) => sayWho(figure.touched, row * columns + column) });
  figure.says = el("small", {});
  figure.querySelector("figcaption").append(figure.says);
  return figure;
}

function memories(step) {
  const { y } = place(step.block);
  const section = (title, says, figures) => el("section", { class: "memory" }, el("h3", {}, title),
    el("p", { class: "quiet" }, says), el("div", { class: "pictures" }, figures));
  const touched = (name) => step.touched[name] || {};
  const launch = step.kind === "grid";
  const found = [section("Memory", launch ? "What the kernel is given, and what it writes: head 1."
    : `Head ${y + 1} of each array. What is pale is not touched in this phase; o and lse are as they are in the end.`,
  Object.entries(page.memory).map(([name, numbers]) => picture(numbers[y], name, launch ? null : touched(name))))];
  if (launch) return found;
  found.unshift(section("Shared memory", "Of this block alone, as it is when the phase ends; its rows are padded by 4 words. NaN: nobody has written yet.",
    Object.entries(step.shared).map(([name, number]) => picture(number, NAMES[name], touched(name)))));
  const registers = [];
  if (step.scores !== null) registers.push(picture(step.scores, "s: scores, −∞ where the mask rules"));
  registers.push(picture(step.sums, "acc: output, not yet divided by l"));
  if (step.output !== null) registers.push(picture(step.output, "acc / l: output"));
  found.splice(1, 0, section("Registers", "Thread (tx, ty) owns row ty and column tx of each; nobody else sees them.", registers));
  return found;
}

/** The rows' maximum and sum, before and after this tile. */
function softmax(step) {
  const at = state.step;
  let known = null;
  for (let n = at; n > 0 && page.steps[n].block === step.block && !known; n--) known = page.steps[n].rows;
  if (!known) return null;
  const columns = step.rows
    ? [["largest score", "largest"], ["m", "m_before"], ["m′ = max", "m"], ["exp(m − m′)", "shrink"], ["Σ exp(s − m′)", "total"],
      ["l", "l_before"], ["l′", "l"]]
    : [["m", "m"], ["l", "l"]];
  const lse = step.lse;
  const first = queries(step.block)[0], thread = threadOf();
  const text = (x) => (x === null ? "−∞" : digits(x));
  const rows = known.m.map((_, row) => el("tr", { class: thread !== null && row % ACROSS === Math.floor(thread / ACROSS) ? "chosen" : null },
    el("th", { scope: "row" }, first + row < page.sizes.tokens ? String(first + row) : "beyond"),
    columns.map(([, key]) => el("td", { class: "n" }, text(known[key][row]))), lse ? el("td", { class: "n" }, text(lse[row])) : null));
  return el("div", { class: "scroll online" }, el("table", {}, el("caption", {}, step.rows ? "The online softmax of each row, at this tile"
    : "The online softmax so far"), el("thead", {}, el("tr", {}, ["query", ...columns.map(([name]) => name), ...(lse ? ["lse = m + log l"] : [])]
    .map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)));
}

let listing = null; // made once: later only what is lit changes

function makeListing() {
  const lines = page.lines.map(([number, text]) => [number, el("div", {},
    el("span", { class: "number" }, String(number)), el("span", { class: "source" }, text))]);
  const box = el("div", { class: "lines", tabindex: "0", role: "group", "aria-label": `code of ${page.kernel}` }, lines.map(([, line]) => line));
  const view = el("section", {}, el("h3", {}, "The code that runs"),
    el("div", { class: "listing kernel" }, el("div", { class: "file" }, page.file), box));
  return { view, box, lines };
}

function code(step) {
  if (!listing) listing = makeListing();
  const { view, box, lines } = listing;
  const lit = new Set([...page.parts[step.kind], ...(step.kind === "load" && step.phase === 0 ? page.parts.first : [])]);
  for (const [number, line] of lines) put(line, "class", lit.has(number) ? "line lit" : "line");
  showLitLater(view);
  return view;
}

function ownKey(event) {
  if (event.key === "Escape") change({ thread: null });
  else if (event.key.toLowerCase() === "b") {
    const step = current();
    goTo(firstStep(step.kind === "grid" ? 0 : (step.block + 1) % blocks));
  } else return false;
  return true;
}

document.getElementById("tabs").remove();
document.getElementById("summary").textContent = `${page.kernel} of ${page.file}, on the CPU emulator: ${blocks} blocks of ${page.threads} threads, `
  + "with each access that it saw.";
startTheme(draw);
startKeys(KEYS, ownKey, draw);
listen(draw);
draw();
document.documentElement.dataset.ready = "yes";
