// Nudges: a number was moved, the model run again, and the loss moved as the gradient had said.

import { along, ticks, upright } from "./axes.js";
import { el, digits } from "./dom.js";
import { layerName, page } from "./data.js";
import { change } from "./state.js";

const { loss, steps, items } = page.nudges;
let chosen = 0;
let by = steps.length - 1;

function entryName(item) {
  const entry = item.entry.length === 3 ? item.entry.slice(1) : item.entry; // a row of a batch of one
  return `${item.place}[${entry.join(", ")}]`;
}

/** Under a step: what one of its numbers does to the loss. */
export function nudgeLine(step) {
  const own = items.findIndex((item) => item.place === step.place || item.place.startsWith(`${step.place}.`));
  if (own < 0 || /split$|join$/.test(step.place)) return null;
  const item = items[own];
  const n = steps.indexOf(1);
  const truly = item.losses[n] - loss, said = item.gradient * item.h;
  return el("p", { class: "nudged" }, el("b", {}, "Nudge. "), "Add ", digits(item.h), " to ",
    el("code", {}, entryName(item)), ` and run the model again: the loss moves by ${signed(truly)}. `,
    `The gradient said ${signed(said)}. `,
    el("button", { type: "button", class: "link", click: () => { [chosen, by] = [own, n]; change({ view: "nudge" }); } }, "Try it"));
}

function signed(x) {
  return `${x > 0 ? "+" : ""}${digits(x, 4)}`;
}

export function drawNudge(main) {
  const item = items[chosen];
  const truly = item.losses[by] - loss, said = item.gradient * steps[by] * item.h;
  const off = Math.abs(truly - said) / Math.max(Math.abs(said), 1e-300);
  const pick = el("select", { "aria-label": "Which number", change: (e) => { chosen = Number(e.target.value); drawNudge(main); } },
    items.map((x, n) => el("option", { value: String(n), selected: n === chosen },
      `${[layerName(x.place), entryName(x)].filter(Boolean).join(": ")}`)));
  const slider = el("input", {
    type: "range", min: "0", max: String(steps.length), step: "1", value: String(place(by)), "aria-label": "By how much",
    "aria-valuetext": `${steps[by]} h`,
    input: (e) => { by = index(Number(e.target.value)); drawNudge(main); main.querySelector("input").focus(); },
  });
  main.replaceChildren(el("section", { class: "view nudge" }, el("h2", {}, "Nudge a number"),
    el("p", { class: "say" }, "A gradient is a promise: move this number a little, and the loss moves by gradient × move. ",
      "Each point is a whole run of the model in double precision with one number changed; the line is the promise."),
    el("label", { class: "field" }, el("span", {}, "Number"), pick),
    el("label", { class: "field" }, el("span", {}, `Move by ${signed(steps[by] * item.h)}`), slider),
    el("dl", { class: "facts" },
      fact("the number was", digits(item.value)), fact("its gradient", digits(item.gradient)),
      fact("the gradient says the loss moves by", signed(said)), fact("it truly moves by", signed(truly)),
      fact("from", digits(loss, 8)), fact("to", digits(item.losses[by], 8)),
      fact("the promise was off by", `${digits(100 * off, 2)} %`)),
    plot(item)));
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

/** The slider has a place for no move at all, which is skipped. */
function place(n) {
  return steps[n] < 0 ? n : n + 1;
}

function index(at) {
  const middle = steps.filter((s) => s < 0).length;
  if (at === middle) return by >= middle ? middle - 1 : middle;
  return at < middle ? at : at - 1;
}

function plot(item) {
  const width = 560, height = 300, left = 86, low = 46;
  const points = [...steps.map((s, n) => [s * item.h, item.losses[n] - loss]), [0, 0]];
  const wide = 2.3 * item.h;
  const reach = Math.max(...points.map(([, d]) => Math.abs(d)), Math.abs(2 * item.gradient * item.h)) * 1.15 || 1;
  const x = (move) => left + ((move + wide) / (2 * wide)) * (width - left - 12);
  const y = (d) => 26 + ((reach - d) / (2 * reach)) * (height - low - 26);
  const end = 2.2 * item.h, floor = height - low;
  const chart = el("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "chart",
    "aria-label": `The loss after each move, and the line that the gradient promises: ${points.slice(0, -1)
      .map(([move, d]) => `${signed(move)} moves it by ${signed(d)}`).join(", ")}` },
  el("line", { x1: left, x2: width - 12, y1: y(0), y2: y(0), class: "axis" }),
  el("line", { x1: x(0), x2: x(0), y1: 26, y2: floor, class: "axis" }),
  el("line", { x1: left, x2: left, y1: 26, y2: floor, class: "axis" }),
  el("line", { x1: left, x2: width - 12, y1: floor, y2: floor, class: "axis" }),
  upright(left, y, ticks(-reach, reach, 6)), along(floor, x, [...steps.map((s) => s * item.h), 0]),
  el("line", { x1: x(-end), y1: y(-end * item.gradient), x2: x(end), y2: y(end * item.gradient), class: "promise" }),
  el("text", { x: width - 12, y: height - 8, "text-anchor": "end" }, `move, in steps of h = ${digits(item.h)}`),
  el("text", { x: 4, y: 14 }, "change of the loss, in nats"));
  for (const [move, d] of points) {
    const own = move === steps[by] * item.h;
    chart.append(el("circle", { cx: x(move), cy: y(d), r: own ? 8 : 5, class: own ? "point now" : "point" }));
  }
  return chart;
}
