// The picture of the model: a road of all its parts, from the text down to the loss, on which the steps walk.

import { el, digits, put } from "./dom.js";
import { layerName, page } from "./data.js";
import { keepInSight } from "./sight.js";
import { goTo, state } from "./state.js";

const NAMES = {
  text: "text", tokens: "embedding", token_types: "segment", positions: "+ position", final_norm: "norm",
  embedding_norm: "norm", output: "logits", loss: "loss", norm: "norm", gather: "hidden places",
  dense: "linear", qkv: "q, k, v", kv: "k, v of source", q: "q", rope: "turn", scores: "scores", mask: "mask",
  softmax: "softmax", mixture: "mixture", out: "join heads", up: "up", down: "down", sum: "+", split: "+",
  join: "fork", bias: "bias",
};
// The forward part of attention that a backward part belongs to.
const UNDOES = { dv: "mixture", dprobabilities: "mixture", dscores: "softmax", dq: "scores", dk: "scores" };

const nodes = makeNodes();
let drawn = null;

/** One node for each place and part, with its steps of both passes. */
function makeNodes() {
  const found = new Map();
  page.steps.forEach((step, n) => {
    const part = UNDOES[step.part] || step.part;
    const key = `${step.place.replace(/split$/, "sum")}/${part}`;
    if (!found.has(key)) {
      found.set(key, { key, place: step.place, part, family: step.family, forward: [], backward: [] });
    }
    found.get(key)[step.phase].push(n);
  });
  const list = [...found.values()];
  const forks = list.filter((node) => node.place.endsWith(".join"));
  const road = list.filter((node) => !node.place.endsWith(".join"));
  for (const fork of forks) {
    const scope = fork.place.replace(/\.join$/, "");
    const norm = { attention: "norm1", cross: "norm_cross", mlp: "norm2" }[scope.split(".").pop()];
    const before = page.model.preNorm ? scope.replace(/[^.]+$/, norm) : scope + ".";
    const at = road.findIndex((node) => node.place === before || (!page.model.preNorm && node.place.startsWith(before)));
    road.splice(at < 0 ? road.length : at, 0, fork);
  }
  return road;
}

/** The steps of the other pass that belong to a step. */
export function partners(n) {
  const node = nodes.find((one) => one.forward.includes(n) || one.backward.includes(n));
  return (node.forward.includes(n) ? node.backward : node.forward).map((step) => page.steps[step]);
}

function label(node) {
  if (node.part) return NAMES[node.part] || node.part;
  const word = node.place.split(".").pop();
  if (/^norm/.test(word)) return "norm";
  return NAMES[word] || (node.family === "activation" ? word.replace("_", " ") : word);
}

/** On the stream, or in a sub-layer beside it. */
function depth(node) {
  const word = node.place.split(".").pop();
  if (["sum", "split", "join"].includes(word) || !node.place.includes("blocks.")) return 0;
  if (/^norm/.test(word) && !page.model.preNorm) return 0;
  return 1;
}

function groupOf(node) {
  const name = layerName(node.place);
  if (name) return name;
  if (node.place.startsWith("encoder.")) return "Encoder's input";
  if (node.place.startsWith("decoder.")) return "Decoder's input";
  return /^(output|loss|final_norm|masked|pairs|pooler)/.test(node.place) ? "Prediction" : "Input";
}

/** Draw the road once; later only what is lit changes. */
export function drawMap(parent) {
  const step = page.steps[state.step];
  if (!drawn) drawn = build();
  if (drawn.road.parentElement !== parent) parent.append(drawn.road);
  let active = null;
  for (const { node, button, group } of drawn.buttons) {
    const here = node[step.phase].includes(state.step);
    if (here) active = { node, button, group };
    const own = node[step.phase];
    const passed = own.length && (step.phase === "forward" ? own[0] < state.step : own[own.length - 1] < state.step);
    put(button, "class", `node ${node.kind} ${here ? "here" : passed ? "passed" : ""}`);
    put(button, "disabled", own.length ? null : "");
    put(button, "aria-current", here ? "step" : null);
  }
  put(drawn.road, "data-phase", step.phase);
  for (const group of drawn.groups) group.classList.toggle("open", !active || group === active.group);
  if (active) keepInSight(drawn.road, active.button);
}

function build() {
  const road = el("nav", { class: "road", "aria-label": "The model's parts" });
  const groups = [], buttons = [];
  let group = null, name = "";
  for (const node of nodes) {
    if (groupOf(node) !== name) {
      name = groupOf(node);
      group = el("section", { class: "group" });
      const own = group, first = node;
      const steps = () => nodes.filter((n) => groupOf(n) === groupOf(first)).flatMap((n) => n[page.steps[state.step].phase]);
      group.append(el("button", { type: "button", class: "title", click: () => goTo(Math.min(...steps())) }, name));
      groups.push(own);
      road.append(own);
    }
    node.kind = node.place.endsWith(".join") ? "fork" : /sum$|split$/.test(node.place) ? "sum" : depth(node) ? "side" : "main";
    const button = el("button", { type: "button", class: "node", click: () => goTo(target(node)) },
      el("span", {}, label(node)));
    button.title = size(node);
    group.append(button);
    buttons.push({ node, button, group });
  }
  return { road, groups, buttons };
}

function target(node) {
  const phase = page.steps[state.step].phase;
  return node[phase].length ? node[phase][0] : state.step;
}

/** How large the numbers and their gradient are here. */
function size(node) {
  const norm = (steps) => {
    const shows = steps.length ? page.steps[steps[steps.length - 1]].shows : [];
    return shows.length ? digits(page.arrays[shows[shows.length - 1].array].norm, 3) : null;
  };
  const forward = norm(node.forward), backward = norm(node.backward);
  return [forward && `norm ${forward}`, backward && `gradient's norm ${backward}`].filter(Boolean).join(", ");
}
