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

/** What each place should have said, what it said, and what that cost; and a sentence about the place that cost most. */
export function lossTable() {
  const last = page.lens.layers[page.lens.layers.length - 1];
  const costs = last.map((_, n) => costOf(page.outputs, n));
  const known = costs.map((_, n) => n).filter((n) => costs[n] !== null);
  const hardest = known.reduce((a, b) => (costs[b] > costs[a] ? b : a));
  const rows = known.map((n) => {
    const cell = last[n], cost = costs[n];
    const [guess, share] = cell.top[0];
    return el("tr", { class: state.row[page.outputs] === n ? "chosen" : "", click: () => chooseRow(page.outputs, n) },
      el("td", {}, quoted(page.lists[page.outputs][n])), el("td", {}, quoted(page.lens.targets[n]), n === hardest ? el("small", {}, " hardest") : null),
      el("td", { class: "n" }, digits(cell.p, 3)),
      el("td", { class: "n cost", style: `--share:${Math.min(1, cost / 8).toFixed(2)}` }, digits(cost)),
      el("td", {}, `${quoted(guess)} ${digits(share, 3)}`));
  });
  const verb = page.outputs === "places" ? "at" : "after";
  return { says: hardestSays(last[hardest], hardest, costs[hardest], verb), view: table(
    `The loss is the mean of the costs: ${digits(page.loss)} nats`,
    [verb, "the right token", "its probability", "cost −log p", "the model's first guess"], rows) };
}

function hardestSays(cell, n, cost, verb) {
  const target = page.lens.targets[n];
  return el("p", { class: "hardest" }, "The hardest token was ", el("b", {}, quoted(target)), ` ${verb} `, el("b", {}, quoted(page.lists[page.outputs][n])),
    `: the model gave it a probability of ${digits(cell.p, 3)}, which cost ${digits(cost, 3)} nats. `,
    `The stronger the line under a token above, the more it cost to predict ${verb === "at" ? "the token there" : "the token after it"}.`);
}
