// The view of the steps: the model's road, the arrays of one step, its code, and the bar to walk with.

import { el, digits, prose, quoted, word } from "./dom.js";
import { array, layerName, matrix, page } from "./data.js";
import { chooseRow, current, goTo, state, turn } from "./state.js";
import { heat, rest } from "./heat.js";
import { headPicker, tokenPicker } from "./pickers.js";
import { codePanel, keyLines } from "./code.js";
import { showLitLater } from "./sight.js";
import { drawMap, partners } from "./map.js";
import { lossTable, textTable } from "./tables.js";
import { nudgeLine } from "./nudge.js";
import { makeBar, tellBar } from "./bar.js";

let parts = null;

export function drawSteps(main) {
  if (!parts) parts = build();
  if (parts.view.parentElement !== main) main.replaceChildren(parts.view);
  const step = current();
  parts.view.dataset.phase = step.phase;
  drawMap(parts.road);
  drawStage(step);
  tellBar(parts.bar, `${step.phase}, ${step.title}`);
}

function build() {
  const road = el("aside", { class: "aside" });
  const stage = el("article", { id: "stage", tabindex: "-1" });
  const jump = { text: "Loss", label: "To the loss, where the road turns (T)", click: () => goTo(turn) };
  const bar = makeBar(jump, el("span", {
    class: "ends", "aria-hidden": "true",
    style: `--turn:${((100 * (turn + 0.5)) / (page.steps.length - 1)).toFixed(2)}%`,
  }, el("b", {}, "forward"), el("b", {}, "backward")));
  return { view: el("div", { class: "steps" }, road, stage, bar.view), road, stage, bar };
}

function drawStage(step) {
  const call = step.call === null ? null : page.calls[step.call];
  const lists = call ? { rows: call.rows, keys: call.keys } : { rows: Object.keys(page.lists)[0] };
  const where = [step.phase === "forward" ? "Forward" : "Backward", layerName(step.place), step.place];
  const attention = step.family === "attention" || step.family === "rope" || step.place.endsWith("qkv");
  const pictures = el("div", { class: "pictures" });
  const inspected = el("div", { class: "pictures inspected" });
  parts.stage.replaceChildren(
    el("p", { class: "where" }, where.filter(Boolean).map((text, n) => (n === 2 || text === step.place
      ? el("code", {}, text) : el("span", {}, text)))),
    el("h2", {}, step.title),
    el("p", { class: "say" }, prose(step.say)),
    keyLines(step, partners(state.step)) ?? "",
    el("div", { class: "choices" }, tokenPicker(lists.rows, "Token"), attention ? headPicker() : null),
    pictures, inspected);
  fill(pictures, step, lists);
  if (step.shows.length) parts.stage.append(legend());
  const looks = answer(step, lists);
  if (looks) parts.stage.append(looks);
  const nudge = nudgeLine(step);
  if (nudge) parts.stage.append(nudge);
  const code = codePanel(step, (name, number, owner) => {
    inspected.replaceChildren(heat(number, { name, rows: owner.rows, keys: owner.keys, width: 560 }));
    inspected.scrollIntoView({ block: "nearest" });
  });
  parts.stage.append(el("h3", {}, "The code that computes it"), code);
  showLitLater(code);
}

function fill(pictures, step, lists) {
  if (step.family === "text") return pictures.replaceChildren(textTable());
  const each = step.shows.length > 2 ? 250 : 330;
  const choose = (name) => (row) => name && chooseRow(name, row);
  for (const show of step.shows) {
    const a = array(show.array);
    const keyRows = a.axes[a.axes.length - 2] === "key";
    pictures.append(heat(show.array, {
      name: show.name, sign: show.sign, rows: lists.rows, keys: lists.keys, width: each,
      divide: divisions(step, a),
      choose: step.family === "text" || keyRows ? null : choose(lists.rows),
    }));
  }
  rest(pictures);
  if (step.family === "cross_entropy" && step.phase === "forward") {
    const { says, view } = lossTable();
    pictures.before(says);
    pictures.after(view);
  }
}

function legend() {
  const swatch = (kind) => el("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
  return el("p", { class: "legend" }, swatch("plus"), "above zero ", swatch("minus"), "below ", swatch("zero"), "exactly zero ",
    swatch("never"), "−∞. Each picture has its own scale, from zero to its largest number. Point at a square for its number, to five digits.");
}

/** Where q, k and v begin in what one matrix made. */
function divisions(step, a) {
  if (!step.place.endsWith("attention.qkv") || a.kept.some(Boolean)) return [];
  const wide = a.shape[a.shape.length - 1];
  const own = page.model.heads * page.model.headWidth;
  if (wide <= own) return [];
  const shared = (wide - own) / 2;
  return [{ at: 0, name: "q" }, { at: own, name: "k" }, { at: own + shared, name: "v" }];
}

/** For the chosen token and head: the numbers of its row in words. */
function answer(step, lists) {
  const wanted = { softmax: "probabilities", scores: "scores", mask: "scores", mixture: "probabilities", dscores: "dscores" };
  const name = wanted[step.part];
  const show = name && step.shows.find((s) => s.name === name && array(s.array).axes.length === 3);
  if (!show) return null;
  const a = array(show.array), m = matrix(a, state.head, page.model.heads);
  const row = state.row[lists.rows];
  if (row >= m.rows) return null;
  const keys = page.lists[lists.keys];
  const values = [...a.values.slice(m.start + row * m.columns, m.start + (row + 1) * m.columns)];
  const largest = Math.max(...values.map((x) => (Number.isFinite(x) ? Math.abs(x) : 0))) || 1;
  const best = values.indexOf(Math.max(...values));
  const sentence = name === "probabilities"
    ? [`Head ${state.head + 1} looks from `, el("b", {}, quoted(page.lists[lists.rows][row])), " most at ",
      el("b", {}, quoted(keys[best])), ` (${digits(values[best], 3)}).`]
    : [`The row of `, el("b", {}, quoted(page.lists[lists.rows][row])), ` in head ${state.head + 1}:`];
  const chips = values.map((x, n) => el("li", { class: x < 0 ? "minus" : "", style: `--share:${share(x, largest)}` },
    el("span", {}, word(keys[n])), el("b", {}, digits(x, 3))));
  return el("div", { class: "answer", "aria-live": "polite" }, el("p", {}, sentence), el("ol", {}, chips));
}

function share(x, largest) {
  return Number.isFinite(x) ? Math.sqrt(Math.abs(x) / largest).toFixed(3) : "0";
}
