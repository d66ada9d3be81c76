// All heads at a glance: where each head of each layer looks, and from the chosen token most of all.

import { el, digits, quoted } from "./dom.js";
import { array, layerName, matrix, page } from "./data.js";
import { change, chooseRow, findStep, state } from "./state.js";
import { heat, outline } from "./heat.js";
import { tokenPicker } from "./pickers.js";

let hideFirst = false;

/** The attentions of one kind: their rows count the same tokens, and so do their keys. */
function kinds() {
  const found = new Map();
  for (const item of page.heads) {
    const key = `${item.place.split(".")[0].replace("blocks", "")} ${item.place.includes(".cross") ? "looks at the source" : ""}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(item);
  }
  return found;
}

export function drawHeads(main) {
  const lists = [...new Set(page.heads.map((item) => item.rows))];
  const view = el("section", { class: "view" }, el("h2", {}, "All heads at a glance"),
    el("p", { class: "say" }, "Each square is one head of one layer: a row for each token that looks, a column for each token ",
      "that is looked at. Choose a token, and read under each square what that head looks at most from there; the line leads to ",
      "the steps of its head."),
    lists.map((list) => tokenPicker(list, lists.length > 1 ? `Token of the ${list}` : "Token")),
    el("label", { class: "check" }, el("input", { type: "checkbox", checked: hideFirst,
      change: (e) => { hideFirst = e.target.checked; change({}); } }),
      " do not count the first token, where heads look that find nothing else"));
  for (const [name, items] of kinds()) {
    if (name.trim()) view.append(el("h3", {}, name));
    const grid = el("div", { class: "allheads", style: `--heads:${page.headsShown.length}` });
    for (const item of items) {
      const label = layerName(item.place);
      grid.append(el("b", { class: "layer" }, label, page.kept.some((k) => item.place.startsWith(`${k}.`)) ? null
        : el("small", {}, "attention only")));
      for (const head of page.headsShown) grid.append(one(item, head, label));
    }
    view.append(el("div", { class: "scroll" }, grid));
  }
  main.replaceChildren(view);
}

function one(item, head, label) {
  const before = state.head;
  state.head = head; // a heat map draws the chosen head
  const size = array(item.array).shape[2];
  const figure = heat(item.array, {
    name: `${label}, head ${head + 1}`, rows: item.rows, keys: item.keys, width: Math.min(150, 16 * size), small: true,
    reach: 1, quiet: true, choose: (row) => chooseRow(item.rows, row),
  });
  const a = array(item.array), m = matrix(a, head, page.model.heads);
  state.head = before;
  const row = state.row[item.rows];
  const values = [...a.values.slice(m.start + row * m.columns, m.start + (row + 1) * m.columns)];
  if (hideFirst && row > 0) values[0] = -1;
  const best = values.indexOf(Math.max(...values));
  outline(figure, row, 0, 1, m.columns);
  const step = findStep((s) => s.place === item.place && s.part === "softmax");
  const text = el("button", {
    type: "button", class: "looks", disabled: step < 0, click: () => change({ view: "steps", head, step }),
    "aria-label": `${label}, head ${head + 1}: from ${page.lists[item.rows][row]} most at ${page.lists[item.keys][best]}, ${digits(values[best], 2)}`,
  }, el("span", {}, `head ${head + 1}: `), el("b", {}, quoted(page.lists[item.keys][best])), ` ${digits(values[best], 2)}`);
  return el("div", { class: "onehead", "data-place": item.place, "data-head": String(head) }, figure, text);
}
