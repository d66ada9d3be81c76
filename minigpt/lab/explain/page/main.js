// The page itself: its views as tabs, the keys, and light or dark.

import { el, count, digits } from "./dom.js";
import { layerName, page } from "./data.js";
import { change, goTo, listen, state } from "./state.js";
import { refreshColours } from "./heat.js";
import { drawSteps } from "./stage.js";
import { drawHeads } from "./heads.js";
import { drawLens } from "./lens.js";
import { drawNorms, drawReach } from "./reach.js";
import { drawMasks, drawRotation } from "./masks.js";
import { drawNudge } from "./nudge.js";
import { drawReplay } from "./replay.js";

const main = document.getElementById("main");
const VIEWS = [
  ["steps", "Step by step", drawSteps], ["heads", "All heads", drawHeads], ["lens", "Logit lens", drawLens],
  ["reach", "Reach of the loss", drawReach], ["norms", "Gradient sizes", drawNorms], ["masks", "Masks", drawMasks],
  ["rotation", "Rotation", drawRotation], ["nudge", "Nudge", drawNudge], ["replay", "Training", drawReplay],
].filter(([name]) => (name !== "rotation" || page.rotation) && (name !== "replay" || page.replay));

const KEYS = [
  ["← →", "one step back or on"], ["Home, End", "first or last step"], ["T", "to the turning point, where the gradient starts"],
  ["1 … 9", "choose a head"], ["V", "next view"], ["D", "dark or light"],
  ["Tab, then arrows", "within a picture: read single numbers; Enter chooses the row"],
];

let shown = "";

function draw() {
  const started = performance.now();
  const [name, , drawView] = VIEWS.find(([view]) => view === state.view);
  const focused = document.activeElement?.id === "stage";
  drawView(main);
  if (shown !== name) {
    for (const tab of document.querySelectorAll("#tabs [role=tab]")) {
      const own = tab.dataset.view === name;
      tab.setAttribute("aria-selected", String(own));
      tab.tabIndex = own ? 0 : -1;
    }
    main.setAttribute("aria-labelledby", `tab-${name}`);
    if (shown) scrollTo(0, 0);
    shown = name;
  }
  if (focused) document.getElementById("stage")?.focus({ preventScroll: true });
  document.documentElement.dataset.step = String(state.step);
  document.documentElement.dataset.milliseconds = (performance.now() - started).toFixed(2); // for whoever measures
}

function tabs() {
  const bar = document.getElementById("tabs");
  for (const [name, label] of VIEWS) {
    bar.append(el("button", { type: "button", role: "tab", id: `tab-${name}`, "data-view": name, "aria-controls": "main",
      click: () => change({ view: name }) }, label));
  }
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.stopPropagation();
    event.preventDefault();
    nextView(by);
    document.querySelector("#tabs [aria-selected=true]").focus();
  });
  main.setAttribute("role", "tabpanel");
}

function nextView(by) {
  const n = VIEWS.findIndex(([name]) => name === state.view);
  change({ view: VIEWS[(n + by + VIEWS.length) % VIEWS.length][0] });
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const button = document.getElementById("theme");
  button.setAttribute("aria-pressed", String(dark));
  button.textContent = dark ? "Light" : "Dark";
  refreshColours();
}

function toggleTheme() {
  theme(document.documentElement.dataset.theme !== "dark");
  draw();
}

function summary() {
  const m = page.model;
  const layers = Object.values(m.layers).join(" + ");
  const total = Object.values(m.layers).reduce((a, b) => a + b);
  const some = page.kept.length < total
    ? ` The steps go through ${page.kept.length} of its layers (${page.kept.map(layerName).join(", ")}); attention of all is under All heads.` : "";
  document.getElementById("summary").textContent = `${m.name || m.family}: ${m.family}, ${layers} layers, ${m.heads} heads, width ${m.width}, `
    + `${count(m.parameters)} parameters. Loss on this text: ${digits(page.loss)} nats a token.${some}`;
}

function keys() {
  const box = document.getElementById("keys"), button = document.getElementById("help");
  box.append(el("dl", {}, KEYS.map(([key, text]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)))));
  button.addEventListener("click", () => {
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const turn = page.steps.findIndex((step) => step.phase === "backward");
    const key = event.key.toLowerCase();
    if (key === "v") nextView(event.shiftKey ? -1 : 1);
    else if (key === "d") toggleTheme();
    else if (/^[1-9]$/.test(key) && Number(key) <= page.model.heads) change({ head: Number(key) - 1 });
    else if (state.view !== "steps") return;
    else if (event.key === "ArrowRight") goTo(state.step + 1);
    else if (event.key === "ArrowLeft") goTo(state.step - 1);
    else if (event.key === "Home") goTo(0);
    else if (event.key === "End") goTo(page.steps.length - 1);
    else if (key === "t") goTo(turn);
    else return;
    event.preventDefault();
  });
}

theme(matchMedia("(prefers-color-scheme: dark)").matches);
document.getElementById("theme").addEventListener("click", toggleTheme);
summary();
tabs();
keys();
listen(draw);
draw();
document.documentElement.dataset.ready = "yes";
