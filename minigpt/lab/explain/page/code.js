// The code of a step, forward and backward side by side, each line with the array that it made.

import { el, put } from "./dom.js";
import { page, shapeText } from "./data.js";

/** Both functions of a step; `inspect(name, array, call)` is called when a line's array is asked for. */
export function codePanel(step, inspect) {
  if (step.call === null) return el("p", { class: "quiet" }, "This is the tokenizer's work (minigpt/tokenizers).");
  const own = page.calls[step.call], partner = step.partner === null ? null : page.calls[step.partner];
  const back = own.name.endsWith("_backward") || step.place.endsWith("join"); // two gradients are added backward
  const forward = back ? partner : own;
  const backward = back ? own : partner;
  const panel = el("div", { class: "code" });
  for (const [call, phase] of [[forward, "forward"], [backward, "backward"]]) {
    if (call) panel.append(column(call, phase, call === own ? step : null, inspect));
    else panel.append(nothing(step, phase));
  }
  return panel;
}

function nothing(step, phase) {
  const text = step.place.endsWith("split") || step.place.endsWith("sum")
    ? "No line computes this: the gradient of a sum is handed on to both summands as it is."
    : step.place.endsWith("join")
      ? "Forward, nothing is computed here: the same stream is read twice."
      : "There is nothing to compute here.";
  return el("section", { class: `column ${phase} empty` }, el("h4", {}, phase), el("p", {}, text));
}

const columns = new Map(); // calls of an operation on arrays of the same shapes share one

/** A function's code with what its lines made, as a section that knows its call and its lines. */
function column(call, phase, step, inspect) {
  const key = [phase, call.name, ...call.made.map((m) => [m[0], m[1], m[3], shapeText(page.arrays[m[2]])])].join();
  if (!columns.has(key)) columns.set(key, makeColumn(call, phase));
  const section = columns.get(key);
  section.inspect = (n) => inspect(section.call.made[n][1], section.call.made[n][2], section.call);
  section.call = call;
  put(section.view, "class", `column ${phase}${step ? " own" : ""}`);
  section.file.textContent = `${call.site.file}:${call.site.line}`;
  section.text.textContent = call.site.text;
  const lit = new Set(step ? step.lines.map(([owner, line]) => `${owner} ${line}`) : []);
  for (const { name, view, lines } of section.listings) {
    view.hidden = Boolean(step) && name !== call.name && !lines.some(([number]) => lit.has(`${name} ${number}`));
    for (const [number, line] of lines) put(line, "class", lit.has(`${name} ${number}`) ? "line lit" : "line");
  }
  return section.view;
}

function makeColumn(call, phase) {
  const section = { call, listings: [], file: el("code", { class: "file" }), text: el("code", { class: "text" }) };
  const list = [call.name, ...new Set(call.made.map((m) => m[3]).filter((name) => name !== call.name))];
  section.view = el("section", {}, el("h4", {}, phase, " ", el("code", {}, call.name)),
    el("p", { class: "site" }, "called at ", section.file, section.text));
  for (const name of list) {
    section.listings.push(listing(name, section));
    section.view.append(section.listings[section.listings.length - 1].view);
  }
  const { equation } = page.functions[call.name];
  if (equation) {
    section.view.append(el("details", { open: innerWidth > 900 }, el("summary", {}, "What its docstring says"),
      el("pre", { class: "equation" }, equation)));
  }
  return section;
}

/** The lines of one function; a chip for each array that one of them made. */
function listing(name, section) {
  const source = page.functions[name];
  const made = section.call.made.map((m, n) => [...m, n]).filter((m) => m[3] === name);
  const lines = source.lines.map(([number, text]) => {
    const [code, comment] = split(text.replace(/^ {4}/, "")); // a body's own indentation says nothing
    const chips = made.filter((m) => m[0] === number).map((m) => el("button", {
      type: "button", class: "chip", click: () => section.inspect(m[4]), "aria-label": `show ${m[1]} of line ${number}`,
    }, `${m[1]} ${shapeText(page.arrays[m[2]])}`));
    return [number, el("div", {}, el("span", { class: "number" }, String(number)),
      el("span", { class: "source" }, code, comment ? el("i", {}, comment) : null), chips)];
  });
  const view = el("div", { class: "listing" }, el("div", { class: "file" }, source.file),
    el("div", { class: "lines", tabindex: "0", role: "group", "aria-label": `code of ${name}` }, lines.map(([, line]) => line)));
  return { name, view, lines };
}

function split(text) {
  const at = text.search(/(^|\s)#\s/);
  return at < 0 ? [text, ""] : [text.slice(0, at + 1), text.slice(at + 1)];
}

/** The lines that matter most, of this step and of the steps of the other pass that belong to it. */
export function keyLines(step, others) {
  const line = ([text, file], own) => el("p", { class: own ? "own" : "" }, el("code", {}, text), el("code", { class: "file" }, file));
  const rows = [[step.phase, step.key, true]];
  const back = others.flatMap((other) => other.key);
  if (back.length) rows.push([others[0].phase, back, false]);
  if (!step.key.length && !back.length) return null;
  rows.sort((a, b) => (a[0] === b[0] ? 0 : a[0] === "forward" ? -1 : 1));
  return el("div", { class: "keyline" }, rows.filter(([, lines]) => lines.length).map(([phase, lines, own]) => [
    el("span", { class: `phase ${phase}` }, phase), el("div", {}, lines.map((text) => line(text, own)))]));
}
