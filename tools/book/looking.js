// What a page shows too faintly, without words, or beyond its edge: a list of sentences, each fault once.
() => {
  const parse = (css) => {
    const numbers = css.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    const scale = css.startsWith("color(") ? 255 : 1;  // color(srgb 0.1 …), as color-mix makes it
    return [...numbers.slice(0, 3).map((x) => x * scale), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((x, i) => a * x + (1 - a) * below[i]);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  // The paper behind an element, and the share of its text that shows: every layer laid over the one below.
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const style = getComputedStyle(element);
    const below = behind(element.parentElement);
    if (style.backgroundImage !== "none") return below && null;  // a gradient has no one colour
    return below && over(parse(style.backgroundColor), below);
  };
  const opacity = (element) => (element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1);
  const hidden = (element) =>
    element.closest("[disabled], [aria-disabled=true], [hidden], noscript, script, style, .headerlink, .visually-hidden") ||
    getComputedStyle(element).visibility === "hidden" || !element.getClientRects().length || opacity(element) === 0;
  const named = (element) => element.tagName.toLowerCase() + [...element.classList].map((c) => "." + c).join("");

  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const words = texts.currentNode.data.trim();
    if (!words || hidden(element)) continue;
    const paper = behind(element);
    if (!paper) continue;
    const style = getComputedStyle(element);
    const [r, g, b, a] = parse(element instanceof SVGElement ? style.fill : style.color);
    const value = contrast(over([r, g, b, a * opacity(element)], paper), paper);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (value < (large ? 3 : 4.5) - 0.005) {
      const key = `${named(element)} in ${named(element.parentElement)} has a contrast of ${value.toFixed(2)}`;
      if (!found.has(key)) found.set(key, `${key}: "${words.slice(0, 30)}"`);
    }
  }
  for (const image of document.images)
    if (!image.alt.trim() && image.getAttribute("role") !== "presentation")
      found.set(image.src, `a picture has no words: ${image.src.slice(-60)}`);
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 1) found.set("wide", `the page is ${wide} pixels wider than the window`);
  return [...found.values()];
}
