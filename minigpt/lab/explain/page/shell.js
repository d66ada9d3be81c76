// What every page has: light or dark, keys with a list of them, and a glossary.

import { el, prose } from "./dom.js";
import { page } from "./data.js";
import { goTo, state } from "./state.js";
import { refreshColours } from "./heat.js";

export const STEP_KEYS = [["← →", "one step back or on"], ["Home, End", "first or last step"]];
const SHELL_KEYS = [["D", "dark or light"], ["G", "glossary"], ["?", "these keys"], ["Esc", "closes a box"]];

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const button = document.getElementById("theme");
  button.setAttribute("aria-pressed", String(dark));
  button.textContent = dark ? "Light" : "Dark";
  refreshColours();
}

/** Light or dark as the reader's system is, then as the button says. */
export function startTheme(draw) {
  theme(matchMedia("(prefers-color-scheme: dark)").matches);
  document.getElementById("theme").addEventListener("click", () => toggleTheme(draw));
}

function toggleTheme(draw) {
  theme(document.documentElement.dataset.theme !== "dark");
  draw();
}

/** A box over the page, which its button opens; Escape, its own button or a click beside it closes it. */
function startBox(id, button, title, items) {
  const box = document.getElementById(id);
  box.append(
    el("div", { class: "boxtop" }, el("h2", {}, title), el("button", { type: "button", click: () => box.close() }, "Close")),
    el("dl", {}, items.map(([term, says]) => el("div", {}, el("dt", {}, term), el("dd", {}, says)))));
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); }); // its inside is children
  document.getElementById(button).addEventListener("click", () => box.showModal());
}

/** Open a box, or close the one that is open. */
function toggleBox(id) {
  const open = document.querySelector("dialog[open]");
  open?.close();
  if (open?.id !== id) document.getElementById(id).showModal();
}

/** List the keys, and listen to them; `own(key)` is asked last whether a key is the page's. */
export function startKeys(list, own, draw) {
  startBox("keys", "help", "Keys", [...list, ...SHELL_KEYS].map(([key, text]) => [el("kbd", {}, key), text]));
  startBox("glossary", "terms", "Glossary", page.glossary.map(([term, text]) => [term, prose(text)]));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const steps = { ArrowRight: state.step + 1, ArrowLeft: state.step - 1, Home: 0, End: page.steps.length - 1 };
    const box = { g: "glossary", "?": "keys" }[event.key.toLowerCase()];
    if (box) toggleBox(box);
    else if (document.querySelector("dialog[open]")) return; // the page behind it rests
    else if (event.key.toLowerCase() === "d") toggleTheme(draw);
    else if (state.view === "steps" && event.key in steps) goTo(steps[event.key]);
    else if (!own(event)) return;
    event.preventDefault();
  });
  document.addEventListener("click", (event) => { // with a mouse: the arrow keys then walk the steps, not the choices
    if (event.detail) event.target.closest("[role=radio], [role=tab]")?.blur();
  });
}
