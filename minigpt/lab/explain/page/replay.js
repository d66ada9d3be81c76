// A run's training as a film: one slider over its checkpoints.

import { along, ticks, upright } from "./axes.js";
import { el, digits, word } from "./dom.js";
import { array, page } from "./data.js";
import { heat } from "./heat.js";
import { headPicker } from "./pickers.js";

let at = null;
let place = null;

export function drawReplay(main) {
  const { checkpoints, attentions } = page.replay;
  at = at === null ? checkpoints.length - 1 : at;
  place = place || attentions[0].place;
  const now = checkpoints[at];
  const slider = el("input", { type: "range", min: "0", max: String(checkpoints.length - 1), value: String(at), "aria-label": "Checkpoint",
    "aria-valuetext": `step ${now.step}`, input: (e) => { at = Number(e.target.value); drawReplay(main); main.querySelector("input").focus(); } });
  const pick = el("select", { "aria-label": "Layer", change: (e) => { place = e.target.value; drawReplay(main); } },
    attentions.map((item) => el("option", { value: item.place, selected: item.place === place }, item.place)));
  const item = attentions.find((x) => x.place === place);
  main.replaceChildren(el("section", { class: "view replay" }, el("h2", {}, "How it was trained"),
    el("label", { class: "field wide" }, el("span", {}, `Checkpoint of step ${now.step}: loss on this text ${digits(now.loss, 4)}`), slider),
    el("div", { class: "film" },
      el("section", {}, el("h3", {}, "What it writes"), el("blockquote", {}, now.sample)),
      el("section", {}, el("h3", {}, "Loss of the run"), curve(now.step)),
      el("section", {}, el("h3", {}, "Where it looks"), el("div", { class: "choices" }, pick, headPicker()),
        el("div", { class: "pictures" }, heat(now.attention[attentions.indexOf(item)], { name: "probabilities", rows: item.rows, keys: item.keys, width: 300, reach: 1 }))),
      el("section", {}, el("h3", {}, "Map of its words"), cloud(now)),
      el("section", {}, el("h3", {}, "Gradient of each tensor: root mean square, on a log scale"), bars(now)))));
}

function curve(step) {
  const { curve: lines, floor } = page.replay;
  const width = 420, height = 240, left = 46, low = 40;
  const points = lines.train.length ? lines.train : page.replay.checkpoints.map((c) => [c.step, c.loss]);
  const all = [...points, ...lines.validation];
  const xs = all.map((p) => p[0]), ys = all.map((p) => p[1]).concat(floor === null ? [] : [floor]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs) || 1, Math.min(...ys), Math.max(...ys)];
  const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - 16);
  const y = (v) => 20 + ((y1 - v) / (y1 - y0 || 1)) * (height - low - 20);
  const line = (list) => list.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
  return el("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img",
    "aria-label": `Loss by step, from ${digits(points[0][1], 3)} to ${digits(points[points.length - 1][1], 3)} nats` },
  el("line", { x1: left, x2: left, y1: 20, y2: height - low, class: "axis" }),
  el("line", { x1: left, x2: width - 16, y1: height - low, y2: height - low, class: "axis" }),
  upright(left, y, ticks(y0, y1, 4)), along(height - low, x, ticks(x0, x1, 4)),
  el("polyline", { points: line(points), class: "train" }), el("polyline", { points: line(lines.validation), class: "validation" }),
  floor === null ? null : el("line", { x1: left, x2: width - 16, y1: y(floor), y2: y(floor), class: "floor" }),
  floor === null ? null : el("text", { x: width - 18, y: y(floor) - 5, "text-anchor": "end" }, `floor ${digits(floor, 3)}`),
  el("line", { x1: x(step), x2: x(step), y1: 20, y2: height - low, class: "nowline" }),
  el("text", { x: 4, y: 12 }, `nats a token; grey: training${lines.validation.length ? ", blue: validation" : ""}`),
  el("text", { x: width - 16, y: height - 6, "text-anchor": "end" }, "step"));
}

function cloud(now) {
  const { map } = page.replay;
  const a = array(now.embedding);
  const width = 460, height = 380;
  const reach = [0, 1].map((axis) => Math.max(...map.words.map((_, n) => Math.abs(a.values[2 * n + axis]))) * 1.12 || 1);
  const chart = el("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart cloud", role: "img", "aria-label": "Tokens by their embeddings, in two directions" });
  map.words.forEach((text, n) => chart.append(el("text", {
    x: width / 2 + (a.values[2 * n] / reach[0]) * (width / 2 - 20), y: height / 2 - (a.values[2 * n + 1] / reach[1]) * (height / 2 - 14),
    "text-anchor": "middle", class: map.own[n] ? "own" : "",
  }, word(text.trim()))));
  return el("div", {}, chart, el("small", {}, `Two directions of the last checkpoint hold ${digits(100 * map.share, 2)} % of how these embeddings differ.`));
}

function bars(now) {
  const names = page.replay.tensors;
  const all = page.replay.checkpoints.flatMap((c) => c.grads).filter((x) => x > 0);
  const most = Math.max(...all), least = Math.min(...all);
  return el("ol", { class: "bars" }, names.map((name, n) => {
    const x = now.grads[n];
    const wide = x ? 2 + (98 * Math.log(x / least)) / (Math.log(most / least) || 1) : 0;
    return el("li", {}, el("code", { title: name }, name), el("span", { style: `width:${wide.toFixed(1)}%` }), el("small", {}, digits(x, 2)));
  }));
}
