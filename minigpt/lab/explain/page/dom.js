// Small helpers: make elements, write numbers.

/** An element with attributes (functions become listeners) and children (strings become text). */
export function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "line", "path", "circle", "rect", "text", "g", "polyline"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "class" && !svg) node.className = value;
    else if (name === "style") node.style.cssText = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child);
  }
  return node;
}

/** Set an attribute (null takes it away) if it is not that already: what does not change costs the browser nothing. */
export function put(node, name, value) {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/** A number with five digits, as the code would round it. */
export function digits(x, count = 5) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e-4 && size < 1e6 ? String(Number(x.toPrecision(count))) : x.toExponential(count - 1);
  return text.replace("-", "−").replace("e-", "e−").replace("e+", "e");
}

/** A token as it can be read: spaces and line breaks made visible. */
export function word(text) {
  return text.replace(/ /g, "␣").replace(/\n/g, "↵");
}

export function quoted(text) {
  return `“${word(text)}”`;
}

/** Text in which `names` of the code stand between backticks. */
export function prose(text) {
  return text.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part));
}

/** "967,808". The browser's own way first loads its languages, which takes longer than all else at the start. */
export function count(n) {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}
