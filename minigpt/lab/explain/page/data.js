// The page's data: arrays are decoded when they are first looked at.

export const page = JSON.parse(document.getElementById("data").textContent);
const numbers = Array.from(document.querySelectorAll(".numbers"), (part) => part.textContent).join(""); // base64 of all arrays

const decoded = new Map();

/** An array: its axes, its shape, which indices of each axis are kept, its length, and its numbers. */
export function array(number) {
  if (!decoded.has(number)) decoded.set(number, decode(page.arrays[number]));
  return decoded.get(number);
}

/** The bytes that base64 stands for. */
export function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}

/** Put back what was left out: zeros, or −∞, where a bit of the mask is set. */
function filled(values, entry, length) {
  const bits = bytesOf(page.holes[entry.holes]);
  const whole = new Float32Array(length).fill(entry.fill === null ? -Infinity : entry.fill);
  for (let n = 0, next = 0; n < length; n++) if (!((bits[n >> 3] >> (n & 7)) & 1)) whole[n] = values[next++];
  return whole;
}

function decode(entry) {
  const kept = entry.kept || entry.shape.map(() => null);
  const sizes = entry.shape.map((size, axis) => (kept[axis] ? kept[axis].length : size));
  let values = new Float32Array(bytesOf(numbers.slice(...entry.data)).buffer);
  if (entry.holes !== undefined) values = filled(values, entry, sizes.reduce((a, b) => a * b, 1));
  let largest = 0;
  for (const x of values) {
    const size = Math.abs(x);
    if (size > largest && size !== Infinity) largest = size;
  }
  return { axes: entry.axes, shape: entry.shape, norm: entry.norm, kept, sizes, values, largest };
}

/**
 * One matrix of an array: rows, columns, where its numbers start, and what its axes are.
 * Of an array with heads it is the one of this head, or of the group of heads that shares it.
 */
export function matrix(a, head, heads) {
  const last = a.sizes.length - 1;
  if (last < 0) return { rows: 1, columns: 1, start: 0, rowAxis: null, columnAxis: null };
  if (last === 0) {
    const upright = a.axes[0] === "token";
    const size = a.sizes[0];
    return upright
      ? { rows: size, columns: 1, start: 0, rowAxis: 0, columnAxis: null }
      : { rows: 1, columns: size, start: 0, rowAxis: null, columnAxis: 0 };
  }
  const rows = a.sizes[last - 1];
  const columns = a.sizes[last];
  let start = 0;
  if (a.axes[0] === "head") start = placeOfHead(a, head, heads) * rows * columns;
  return { rows, columns, start, rowAxis: last - 1, columnAxis: last };
}

/** Where an array has what serves a query head: of its heads, or of fewer key-value heads, some may be kept. */
export function placeOfHead(a, head, heads) {
  const own = a.shape[0] >= heads ? head : Math.floor((head * a.shape[0]) / heads);
  return a.kept[0] ? a.kept[0].indexOf(own) : own;
}

/** The index in the whole array of the n-th that is kept. */
export function trueIndex(a, axis, n) {
  return axis === null ? 0 : a.kept[axis] ? a.kept[axis][n] : n;
}

/** "(4, 19, 32)", and how much of it is kept. */
export function shapeText(a) {
  if (!a.shape.length) return "a number";
  return `(${a.shape.join(", ")})`;
}

export function keptText(a) {
  const parts = a.axes
    .map((name, axis) => (a.kept[axis] && name !== "head" ? `${a.sizes[axis]} of ${a.shape[axis]} ${AXES[name] || name}` : null))
    .filter(Boolean);
  return parts.length ? `shown: ${parts.join(", ")}` : "";
}

const AXES = { vocabulary: "tokens", feature: "columns", in: "rows" };

/** "Layer 3", with "encoder" or "decoder" before it where there are both. */
export function layerName(place) {
  const found = /^(encoder\.|decoder\.)?blocks\.(\d+)/.exec(place);
  if (!found) return "";
  const side = found[1] ? (found[1] === "encoder." ? "Encoder layer" : "Decoder layer") : "Layer";
  return `${side} ${Number(found[2]) + 1}`;
}
