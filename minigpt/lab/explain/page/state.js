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

export function goTo(step) {
  const last = page.steps.length - 1;
  change({ step: Math.min(last, Math.max(0, step)), view: "steps" });
}

export function current() {
  return page.steps[state.step];
}

/** The first step that fits. */
export function findStep(test) {
  return page.steps.findIndex(test);
}
