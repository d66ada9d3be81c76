// Who may look where: the masks of the families side by side. And how Llama turns queries by their place.

import { el, digits, word } from "./dom.js";
import { array, page, placeOfHead } from "./data.js";
import { state } from "./state.js";
import { heat } from "./heat.js";
import { headPicker, tokenPicker } from "./pickers.js";

export function drawMasks(main) {
  const figures = page.masks.map((item) => el("div", { class: "maskbox" }, el("h3", {}, item.name),
    heat(item.array, { name: item.name, width: 190, small: true, reach: 1, quiet: true }), el("p", {}, item.say)));
  main.replaceChildren(el("section", { class: "view" }, el("h2", {}, "Masks: who may look where"),
    el("p", { class: "say" }, "A row looks, a column is looked at, colour means allowed. The mask is the whole difference between a ",
      "model that writes (GPT) and one that reads (BERT): attention itself is the same code. Where a mask forbids, the gradient is ",
      "exactly zero too."),
    el("div", { class: "masks" }, figures)));
}

let pair = 0;

export function drawRotation(main) {
  const { before, after, angles, place } = page.rotation;
  const a = array(before), b = array(after);
  const [, length, count] = a.shape;
  const head = placeOfHead(a, state.head, page.model.heads);
  const list = "tokens";
  const at = (x, t) => {
    const n = ((head * length + t) * count + pair) * 2;
    return [x.values[n], x.values[n + 1]];
  };
  const reach = Math.max(...page.lists[list].map((_, t) => Math.hypot(...at(a, t)))) || 1;
  const t = state.row[list];
  const turn = (((t * angles[pair]) % (2 * Math.PI)) * 180) / Math.PI;
  const slider = el("input", { type: "range", min: "0", max: String(count - 1), value: String(pair), "aria-label": "Pair of numbers",
    input: (e) => { pair = Number(e.target.value); drawRotation(main); main.querySelector("input").focus(); } });
  main.replaceChildren(el("section", { class: "view" }, el("h2", {}, "Turned by their place"),
    el("p", { class: "say" }, "Llama adds nothing to the embedding. Instead it takes the numbers of a query or key in pairs, draws each ",
      "pair as an arrow, and turns it by position × angle. Thin: before; bold: after. The first pairs turn fast, the last hardly at all, ",
      "so together they tell near places and far ones apart."),
    tokenPicker(list, "Token"), headPicker(),
    el("label", { class: "field" }, el("span", {}, `Pair ${pair}: ${digits(angles[pair], 4)} radians a token`), slider),
    el("p", {}, el("code", {}, place), `: token ${t} is turned by ${t} × ${digits(angles[pair], 4)} = ${digits(turn, 4)}° (whole turns left out).`),
    el("div", { class: "dials" }, page.lists[list].map((text, n) => dial(at(a, n), at(b, n), reach, text, n === t)))));
}

function dial(from, to, reach, text, chosen) {
  const point = ([x, y], r = 40) => [50 + (r * x) / reach, 50 - (r * y) / reach];
  const [ax, ay] = point(from), [bx, by] = point(to);
  return el("div", { class: chosen ? "dial chosen" : "dial" },
    el("svg", { viewBox: "0 0 100 100", role: "img",
      "aria-label": `${text}: from (${digits(from[0], 3)}, ${digits(from[1], 3)}) to (${digits(to[0], 3)}, ${digits(to[1], 3)})` },
      el("circle", { cx: 50, cy: 50, r: 44, class: "rim" }), el("line", { x1: 50, y1: 50, x2: ax, y2: ay, class: "from" }),
      el("line", { x1: 50, y1: 50, x2: bx, y2: by, class: "to" }), el("circle", { cx: bx, cy: by, r: 4, class: "tip" })),
    el("span", {}, word(text)));
}
