// The logit lens: what would the model say if it ended after this layer?

import { el, digits, quoted, word } from "./dom.js";
import { page } from "./data.js";
import { chooseRow, state } from "./state.js";

export function drawLens(main) {
  const { layers, targets, rows } = page.lens;
  const list = page.lists[rows];
  const names = layers.map((_, n) => (n === layers.length - 1 ? "the end" : n === 0 ? "embedding" : `layer ${n}`));
  const head = el("tr", {}, el("th", { scope: "col" }, rows === "places" ? "at" : "after"),
    names.map((name) => el("th", { scope: "col" }, name)), el("th", { scope: "col" }, "what came"));
  const body = list.map((text, n) => el("tr", { class: state.row[rows] === n ? "chosen" : "", click: () => chooseRow(rows, n) },
    el("th", { scope: "row" }, word(text)), layers.map((cells) => cell(cells[n], targets[n])),
    el("td", { class: "came" }, targets[n] ? word(targets[n]) : "–")));
  main.replaceChildren(el("section", { class: "view" }, el("h2", {}, "Logit lens"),
    el("p", { class: "say" }, "The stream after each layer is put through the last norm and the output matrix, as if the model ",
      "ended there. Each cell has the most probable token; the stronger its colour, the more probable. A ring marks the token ",
      "that really came. Layers change the guess little by little."),
    el("div", { class: "scroll" }, el("table", { class: "lens" }, el("thead", {}, head), el("tbody", {}, body))), detail(list, names)));
}

function cell(found, target) {
  const [guess, share] = found.top[0];
  const right = target && guess === target;
  return el("td", {
    class: right ? "right" : "", style: `--share:${Math.sqrt(share).toFixed(3)}`,
    title: `${found.top.map(([t, p]) => `${word(t)} ${digits(p, 3)}`).join("\n")}${target ? `\n${word(target)}: rank ${found.rank}` : ""}`,
  }, word(guess));
}

function detail(list, names) {
  const n = state.row[page.lens.rows];
  const target = page.lens.targets[n];
  const rows = page.lens.layers.map((cells, layer) => el("tr", {}, el("th", { scope: "row" }, names[layer]),
    cells[n].top.map(([t, p]) => el("td", { style: `--share:${Math.sqrt(p).toFixed(3)}` }, `${word(t)} `, el("small", {}, digits(p, 3)))),
    el("td", { class: "n" }, target ? `${cells[n].rank}` : "–")));
  const heads = ["", "first", "second", "third", "fourth", "fifth", target ? `rank of ${quoted(target)}` : "rank"];
  return el("div", { class: "scroll" }, el("table", { class: "lens" }, el("caption", {}, `For ${quoted(list[n])}, the five most probable tokens`),
    el("thead", {}, el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, rows)));
}
