// How far the gradient reaches: from the loss at one place to each earlier token, in each layer; and sizes of tensors.

import { el, digits, quoted, word } from "./dom.js";
import { array, page } from "./data.js";
import { chooseRow, state } from "./state.js";
import { tokenPicker } from "./pickers.js";

export function drawReach(main) {
  const { rows, places, lists } = page.reach;
  const place = state.row[rows], n = places.indexOf(place);
  const view = el("section", { class: "view" }, el("h2", {}, "Which tokens does the loss reach?"),
    el("p", { class: "say" }, "Take the cost of one prediction alone. How strongly would moving a token's numbers in a layer move ",
      "that cost? Each square is the length of that gradient. Read from below: in the last layer only the place of the ",
      "prediction has one, and attention spreads it to the tokens that were looked at."),
    tokenPicker(rows, "Prediction at"),
    n < 0 ? nothing(rows, place) : el("p", {}, rows === "places" ? "The prediction at " : "The prediction after ",
      el("b", {}, quoted(page.lists[rows][place])), ": ", el("b", {}, quoted(page.lens.targets[place])), "."));
  for (const [list, numbers] of n < 0 ? [] : Object.entries(lists)) view.append(picture(list, numbers, n));
  main.replaceChildren(view);
}

function nothing(rows, place) {
  return el("p", {}, rows === "places" ? "Nothing is predicted at " : "Nothing comes after ", el("b", {}, quoted(page.lists[rows][place])),
    ", so it costs nothing. Choose another token.");
}

function picture(list, numbers, n) {
  const columns = page.lists[list];
  const values = numbers.map((number) => {
    const a = array(number);
    return [...a.values.slice(n * a.shape[1], (n + 1) * a.shape[1])];
  });
  const largest = Math.max(...values.flat()) || 1;
  const head = el("tr", {}, el("th", {}, ""), columns.map((text) => el("th", { scope: "col" }, el("span", {}, word(text)))));
  const body = values.map((row, layer) => el("tr", {}, el("th", { scope: "row" }, `into layer ${layer + 1}`),
    row.map((x, t) => el("td", {
      style: `--share:${Math.sqrt(x / largest).toFixed(3)}`, title: `${word(columns[t])}, into layer ${layer + 1}: ${digits(x)}`,
      class: x === 0 ? "never" : "", click: () => list === page.reach.rows && chooseRow(list, t),
    }, x === 0 ? "" : digits(x, 2)))));
  const first = values[0];
  const order = first.map((x, t) => [x, t]).filter(([x]) => x > 0).sort((a, b) => b[0] - a[0]).slice(0, 3);
  return el("div", {}, el("div", { class: "scroll" }, el("table", { class: "reach" },
    el("caption", {}, list === "tokens" ? "Length of the gradient, token by token" : `… at the tokens of the ${list}`),
    el("thead", {}, head), el("tbody", {}, body))),
    el("p", {}, "It reaches most of all ", order.map(([x, t], k) => [k ? ", " : "", el("b", {}, quoted(columns[t])), ` (${digits(x, 3)})`]),
      ". An empty square is exactly zero: nothing of that token went into this prediction."));
}

export function drawNorms(main) {
  const items = page.norms;
  const most = Math.max(...items.map((item) => item.grad)), least = Math.min(...items.map((item) => item.grad || most));
  const width = (x) => (x ? 4 + (96 * Math.log(x / least)) / (Math.log(most / least) || 1) : 0);
  const rows = items.map((item) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, item.name)),
    el("td", { class: "n" }, item.shape.join(" × ")), el("td", { class: "n" }, digits(item.rms, 3)),
    el("td", { class: "n" }, digits(item.grad, 3)),
    el("td", { class: "bar-cell" }, el("span", { style: `width:${width(item.grad).toFixed(1)}%` })),
    el("td", { class: "n" }, item.rms ? digits(item.grad / item.rms, 3) : "–")));
  const head = ["tensor", "shape", "usual size", "usual gradient", "on a log scale", "gradient / size"];
  main.replaceChildren(el("section", { class: "view" }, el("h2", {}, "How large is each tensor's gradient?"),
    el("p", { class: "say" }, "Sizes are root mean squares: what a usual entry has. The last column says how strongly a tensor is ",
      "asked to move for its size: where it is far smaller than elsewhere, the tensor hardly learns."),
    el("div", { class: "scroll" }, el("table", { class: "norms" }, el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, rows)))));
}
