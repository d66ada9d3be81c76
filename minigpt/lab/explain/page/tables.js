// Tables of the first step, the text as tokens, and of the loss.

import { el, digits, quoted, word } from "./dom.js";
import { page } from "./data.js";
import { chooseRow, state } from "./state.js";
import { costOf } from "./pickers.js";

function table(caption, head, rows) {
  return el("div", { class: "scroll" }, el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, rows)));
}

/** Each token with its id. */
export function textTable() {
  const parts = Object.entries(page.lists).filter(([name]) => name !== "places").map(([name, list]) => {
    const cells = list.map((text, n) => el("li", {}, el("b", {}, word(text)), el("span", {}, String(page.ids[name][n]))));
    return el("section", { class: "pieces" }, el("h3", {}, name === "tokens" ? "Tokens and their ids" : `The ${name}`),
      el("ol", { start: "0" }, cells));
  });
  return el("div", {}, el("blockquote", {}, page.prompt), parts);
}

/** What each place should have said, what it said, and what that cost. */
export function lossTable() {
  const last = page.lens.layers[page.lens.layers.length - 1];
  const rows = last.map((cell, n) => {
    const cost = costOf(page.outputs, n);
    if (cost === null) return null;
    const [guess, share] = cell.top[0];
    return el("tr", { class: state.row[page.outputs] === n ? "chosen" : "", click: () => chooseRow(page.outputs, n) },
      el("td", {}, quoted(page.lists[page.outputs][n])), el("td", {}, quoted(page.lens.targets[n])),
      el("td", { class: "n" }, digits(cell.p, 3)),
      el("td", { class: "n cost", style: `--share:${Math.min(1, cost / 8).toFixed(2)}` }, digits(cost)),
      el("td", {}, `${quoted(guess)} ${digits(share, 3)}`));
  });
  const verb = page.outputs === "places" ? "place" : "after";
  return table(`The loss is the mean of the costs: ${digits(page.loss)} nats`,
    [verb, "the right token", "its probability", "cost −log p", "the model's first guess"], rows);
}

