// The bar at the bottom: start, back, on, play, and a slider over all steps.

import { el } from "./dom.js";
import { page } from "./data.js";
import { goTo, state } from "./state.js";

const readout = document.getElementById("readout");

function button(text, label, click) {
  return el("button", { type: "button", "aria-label": label, title: label, click }, text);
}

/** The bar; `jump` is a button of the page's own, and `ends` what stands under the slider. */
export function makeBar(jump, ends) {
  const slider = el("input", {
    type: "range", min: "0", max: String(page.steps.length - 1), "aria-label": "Step",
    input: (event) => goTo(Number(event.target.value)),
  });
  const back = button("◀", "One step back (left arrow)", () => goTo(state.step - 1));
  const on = button("▶", "One step on (right arrow)", () => goTo(state.step + 1));
  const bar = { slider, back, on, count: el("output", { class: "count" }), told: 0, playing: 0 };
  bar.play = button("Play", "Walk by itself", () => togglePlay(bar));
  bar.view = el("div", { class: "bar", role: "group", "aria-label": "Walk through the steps" },
    button("Start", "To the first step (Home)", () => goTo(0)), back, on,
    jump ? button(jump.text, jump.label, jump.click) : null, bar.play,
    el("div", { class: "track" }, slider, ends), bar.count);
  return bar;
}

/** Tell where the walk is; `says` is the step in a few words. */
export function tellBar(bar, says) {
  const { step } = state, last = page.steps.length - 1;
  bar.slider.value = String(step);
  bar.slider.setAttribute("aria-valuetext", `step ${step + 1}: ${says}`);
  if (step !== bar.told) readout.textContent = `Step ${step + 1} of ${last + 1}: ${says}`;
  bar.told = step;
  bar.count.textContent = `${step + 1} of ${last + 1}`;
  bar.back.toggleAttribute("disabled", step === 0);
  bar.on.toggleAttribute("disabled", step === last);
}

function togglePlay(bar) {
  if (bar.playing) {
    clearInterval(bar.playing);
    bar.playing = 0;
  } else {
    bar.playing = setInterval(() => {
      if (state.step >= page.steps.length - 1 || state.view !== "steps") togglePlay(bar);
      else goTo(state.step + 1);
    }, 1200);
  }
  bar.play.textContent = bar.playing ? "Pause" : "Play";
}
