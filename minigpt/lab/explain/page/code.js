// The code of a step, forward and backward side by side, each line with the array that it made.

import { el } from "./dom.js";
import { array, page, shapeText } from "./data.js";

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

function column(call, phase, step, inspect) {
  const own = page.functions[call.name];
  const list = [call.name, ...new Set(call.made.map((m) => m[3]).filter((name) => name !== call.name))];
  const section = el("section", { class: `column ${phase}${step ? " own" : ""}` },
    el("h4", {}, phase, " ", el("code", {}, call.name)),
    el("p", { class: "site" }, "called at ", el("code", { class: "file" }, `${call.site.file}:${call.site.line}`),
      el("code", { class: "text" }, call.site.text)));
  for (const name of list) {
    const made = call.made.filter((m) => m[3] === name);
    const lines = new Set(step ? step.lines.filter(([owner]) => owner === name).map(([, line]) => line) : []);
    if (name !== call.name && !lines.size && step) continue;
    section.append(listing(name, made, lines, (n, a) => inspect(n, a, call)));
  }
  if (own.equation) {
    section.append(el("details", { open: innerWidth > 900 }, el("summary", {}, "What its docstring says"),
      el("pre", { class: "equation" }, own.equation)));
  }
  return section;
}

function listing(name, made, lines, inspect) {
  const source = page.functions[name];
  const rows = source.lines.map(([number, text]) => {
    const [code, comment] = split(text.replace(/^ {4}/, "")); // a body's own indentation says nothing
    const chips = made.filter((m) => m[0] === number).map((m) => {
      const shape = shapeText(array(m[2]));
      return el("button", {
        type: "button", class: "chip", click: () => inspect(m[1], m[2]), "aria-label": `show ${m[1]} of line ${number}`,
      }, `${m[1]} ${shape}`);
    });
    return el("div", { class: lines.has(number) ? "line lit" : "line" },
      el("span", { class: "number" }, String(number)),
      el("span", { class: "source" }, code, comment ? el("i", {}, comment) : null), chips);
  });
  return el("div", { class: "listing" }, el("div", { class: "file" }, source.file),
    el("div", { class: "lines", tabindex: "0", role: "group", "aria-label": `code of ${name}` }, rows));
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

/** Bring the lit lines of every listing into sight; for after the panel stands in the page. */
export function showLit(panel) {
  for (const lines of panel.querySelectorAll(".lines")) {
    const lit = lines.querySelector(".lit");
    if (lit) lines.scrollTop = Math.max(0, lit.offsetTop - 30);
  }
}
