// Bring what matters into sight once the browser has laid the page out: asking before where something is costs a layout.

let asked = null;

/** Scroll a road until one of its buttons is near the middle. */
export function keepInSight(road, button) {
  asked?.disconnect();
  asked = new IntersectionObserver(([{ boundingClientRect: own, rootBounds: all, target }], observer) => {
    observer.unobserve(target);
    const down = own.top + own.height / 2 - (all.top + all.height / 2);
    const along = own.left + own.width / 2 - (all.left + all.width / 2);
    if (Math.abs(down) > all.height / 3) road.scrollTop += down;
    if (Math.abs(along) > all.width / 3) road.scrollLeft += along;
  }, { root: road });
  asked.observe(button);
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    for (const lines of target.querySelectorAll(".lines")) showLit(lines);
  }
}, { rootMargin: "200px" });

function showLit(lines) {
  const lit = lines.querySelector(".lit");
  lines.scrollTop = lit ? Math.max(0, lit.offsetTop - 30) : 0;
}

/** Bring the lit lines of every listing into sight, once the panel is: most steps are left before. */
export function showLitLater(panel) {
  seen.disconnect();
  seen.observe(panel);
}
