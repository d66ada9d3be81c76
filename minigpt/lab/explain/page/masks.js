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
      "exactly zero too: on the way back it is multiplied by the share, which is 0."),
    el("div", { class: "masks" }, figures)));
}

let pair = 0;
let turned = 1; // how far, of all of it
const TURNING = 2400; // milliseconds

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
  const dials = page.lists[list].map((text, n) => dial({ from: at(a, n), to: at(b, n), angle: n * angles[pair], reach, text, chosen: n === t }));
  main.replaceChildren(el("section", { class: "view" }, el("h2", {}, "Turned by their place"),
    el("p", { class: "say" }, "Llama adds nothing to the embedding. Instead it takes the numbers of a query or key in pairs, draws each ",
      "pair as an arrow, and turns it by position × angle. Thin: before; bold: after. The first pairs turn fast, the last hardly at all, ",
      "so together they tell near places and far ones apart."),
    tokenPicker(list, "Token"), headPicker(),
    el("label", { class: "field" }, el("span", {}, `Pair ${pair}: ${digits(angles[pair], 4)} radians a token`), slider),
    turner(dials),
    el("p", {}, el("code", {}, place), `: token ${t} is turned by ${t} × ${digits(angles[pair], 4)} = ${digits(turn, 4)}° (whole turns left out).`),
    el("div", { class: "dials" }, dials.map((one) => one.view))));
}

/** How far all arrows are turned: by hand, or by themselves for who does not mind motion. */
function turner(dials) {
  const slider = el("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": "How far they are turned",
    input: (e) => turnTo(Number(e.target.value)) });
  const says = el("span", {});
  const turnTo = (share) => {
    turned = share;
    slider.value = String(share);
    says.textContent = `Turned ${Math.round(100 * share)} % of the way`;
    slider.setAttribute("aria-valuetext", says.textContent);
    for (const { turnTo: turnOne } of dials) turnOne(share);
  };
  const animate = () => {
    let started; // at the first frame, however late it comes: each turn is seen from its beginning
    const frame = (now) => {
      if (!slider.isConnected) return;
      started ??= now;
      turnTo(Math.min(1, (now - started) / TURNING));
      if (turned < 1) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  };
  turnTo(turned);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return el("div", { class: "turner" }, el("label", { class: "field" }, says, slider),
    still ? null : el("button", { type: "button", click: animate }, "Turn"));
}

/** An arrow before and after, and a way to show it between. */
function dial({ from, to, angle, reach, text, chosen }) {
  const point = ([x, y]) => [50 + (40 * x) / reach, 50 - (40 * y) / reach];
  const between = (share) => {
    if (share === 1) return to;
    const [c, s] = [Math.cos(share * angle), Math.sin(share * angle)];
    return [from[0] * c - from[1] * s, from[0] * s + from[1] * c];
  };
  const [ax, ay] = point(from);
  const arrow = el("line", { x1: 50, y1: 50, class: "to" }), tip = el("circle", { r: 4, class: "tip" });
  const view = el("div", { class: chosen ? "dial chosen" : "dial" },
    el("svg", { viewBox: "0 0 100 100", role: "img",
      "aria-label": `${text}: from (${digits(from[0], 3)}, ${digits(from[1], 3)}) to (${digits(to[0], 3)}, ${digits(to[1], 3)})` },
      el("circle", { cx: 50, cy: 50, r: 44, class: "rim" }), el("line", { x1: 50, y1: 50, x2: ax, y2: ay, class: "from" }), arrow, tip),
    el("span", {}, word(text)));
  const turnTo = (share) => {
    const [x, y] = point(between(share));
    for (const [node, ends] of [[arrow, ["x2", "y2"]], [tip, ["cx", "cy"]]]) {
      node.setAttribute(ends[0], x.toFixed(2));
      node.setAttribute(ends[1], y.toFixed(2));
    }
  };
  return { view, turnTo };
}
