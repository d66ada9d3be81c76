// The page itself: its views as tabs, the keys, and light or dark.

import { el, count, digits } from "./dom.js";
import { layerName, page } from "./data.js";
import { change, goTo, listen, state, turn } from "./state.js";
import { STEP_KEYS, startKeys, startTheme } from "./shell.js";
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
  ...STEP_KEYS, ["T", "to the loss, where the road turns; the next step is the gradient's first"],
  ["1 … 9", "choose a head"], ["V", "next view"],
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

function summary() {
  const m = page.model;
  const layers = Object.values(m.layers).join(" + ");
  const total = Object.values(m.layers).reduce((a, b) => a + b);
  const some = page.kept.length < total
    ? ` The steps go through ${page.kept.length} of its layers (${page.kept.map(layerName).join(", ")}); attention of all is under All heads.` : "";
  const heads = page.headsShown.length < m.heads ? ` Attention is shown of ${page.headsShown.length} of its heads (${page.headsShown.map((n) => n + 1).join(", ")}).` : "";
  document.getElementById("summary").textContent = `${m.name || m.family}: ${m.family}, ${layers} layers, ${m.heads} heads, width ${m.width}, `
    + `${count(m.parameters)} parameters. Loss on this text: ${digits(page.loss)} nats a token.${some}${heads}`;
}

/** Whether a key is one of this page's own, which then is done. */
function ownKey(event) {
  const key = event.key.toLowerCase();
  if (key === "v") nextView(event.shiftKey ? -1 : 1);
  else if (/^[1-9]$/.test(key) && page.headsShown.includes(Number(key) - 1)) change({ head: Number(key) - 1 });
  else if (key === "t") goTo(turn);
  else return false;
  return true;
}

startTheme(draw);
summary();
tabs();
startKeys(KEYS, ownKey, draw);
listen(draw);
draw();
document.documentElement.dataset.ready = "yes";
