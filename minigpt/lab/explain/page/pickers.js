// What can be chosen in several views: a token and a head.

import { el, digits, put, word } from "./dom.js";
import { array, page } from "./data.js";
import { change, chooseRow, state } from "./state.js";

/** Which tokens are outputs: where a row's loss is known, it colours the token. */
const costs = (() => {
  const call = page.calls.find((c) => c.name === "cross_entropy_forward");
  const made = call && call.made.filter(([, name]) => name === "cost").pop();
  return made ? array(made[2]).values : null;
})();

export function costOf(list, n) {
  return list === page.outputs && costs && page.targets[n] >= 0 ? costs[n] : null;
}

const pickers = new Map(); // made once, since most steps show the same

/** A picker that was made before, or is made now, with what is chosen marked. */
function kept(key, make, chosen) {
  if (!pickers.has(key)) pickers.set(key, make());
  const group = pickers.get(key);
  group.querySelectorAll("[role=radio]").forEach((button) => {
    const own = Number(button.dataset.n) === chosen;
    put(button, "aria-checked", String(own));
    put(button, "tabindex", own ? "0" : "-1");
  });
  return group;
}

/** A row of tokens of which one is chosen. */
export function tokenPicker(list, label) {
  return kept(`${list} ${label}`, () => makeTokens(list, label), state.row[list]);
}

function makeTokens(list, label) {
  const group = el("div", { class: "tokens", role: "radiogroup", "aria-label": label },
    label.startsWith("Token of") ? el("span", { class: "quiet" }, `${label}:`) : null);
  page.lists[list].forEach((text, n) => {
    const cost = costOf(list, n);
    const said = cost === null ? "" : `, the next token cost ${digits(cost, 3)}`;
    group.append(radio(n, () => chooseRow(list, n), {
      "aria-label": `token ${n}: ${text}${said}`,
      title: cost === null ? null : `what comes after cost ${digits(cost, 3)} nats`,
      style: cost === null ? null : `--cost:${Math.min(1, cost / 7).toFixed(2)}`,
    }, word(text)));
  });
  return arrows(group);
}

/** The heads, of which one is chosen. */
export function headPicker() {
  return kept("heads", makeHeads, state.head);
}

function makeHeads() {
  const group = el("div", { class: "heads", role: "radiogroup", "aria-label": "Head" }, el("span", {}, "Head"));
  for (const n of page.headsShown) {
    group.append(radio(n, () => change({ head: n }), { "aria-label": `head ${n + 1}` }, String(n + 1)));
  }
  return arrows(group);
}

function radio(n, choose, attributes, text) {
  return el("button", { type: "button", role: "radio", "data-n": String(n), click: choose, ...attributes }, text);
}

/** Arrow keys move within a group, as in any group of radio buttons. */
function arrows(group) {
  group.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const all = [...group.querySelectorAll("[role=radio]")];
    const from = all.indexOf(document.activeElement);
    const next = (from + by + all.length) % all.length;
    const label = group.getAttribute("aria-label");
    all[next].click();
    const again = [...document.querySelectorAll(`[aria-label="${label}"] [role=radio]`)][next];
    if (again) again.focus();
  });
  return group;
}
