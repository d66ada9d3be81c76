// What is chosen at the moment, and who wants to know when it changes.

import { page } from "./data.js";

const listeners = [];

export const state = {
  view: "steps",
  step: 0,
  head: page.headsShown[0],
  row: Object.fromEntries(Object.entries(page.lists).map(([name, list]) => [name, Math.max(0, list.length - 2)])),
};

/** Change some of it; everybody who listens draws anew. */
export function change(values) {
  Object.assign(state, values);
  for (const listener of listeners) listener(values);
}

export function listen(listener) {
  listeners.push(listener);
}

export function chooseRow(list, n) {
  change({ row: { ...state.row, [list]: n } });
}

/** The last step forward: the loss. */
export const turn = page.steps.findLastIndex((step) => step.phase === "forward");

/** Go to a step; it is read from its beginning, so the page scrolls back to it. */
export function goTo(step) {
  const last = page.steps.length - 1, next = Math.min(last, Math.max(0, step));
  const stage = document.getElementById("stage");
  if (stage && next !== state.step && scrollY > stage.offsetTop) scrollTo(0, stage.offsetTop); // before the page changes: free
  change({ step: next, view: "steps" });
}

export function current() {
  return page.steps[state.step];
}

/** The first step that fits. */
export function findStep(test) {
  return page.steps.findIndex(test);
}
