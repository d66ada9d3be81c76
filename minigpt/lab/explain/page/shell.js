// What every page has: light or dark, and keys with a list of them.

import { el } from "./dom.js";
import { page } from "./data.js";
import { goTo, state } from "./state.js";
import { refreshColours } from "./heat.js";

export const STEP_KEYS = [["← →", "one step back or on"], ["Home, End", "first or last step"]];

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

/** List the keys, and listen to them; `own(key)` is asked first whether a key is the page's. */
export function startKeys(list, own, draw) {
  const box = document.getElementById("keys"), button = document.getElementById("help");
  box.append(el("dl", {}, list.map(([key, text]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)))));
  button.addEventListener("click", () => {
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const steps = { ArrowRight: state.step + 1, ArrowLeft: state.step - 1, Home: 0, End: page.steps.length - 1 };
    if (event.key.toLowerCase() === "d") toggleTheme(draw);
    else if (state.view === "steps" && event.key in steps) goTo(steps[event.key]);
    else if (!own(event)) return;
    event.preventDefault();
  });
}
