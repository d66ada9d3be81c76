"""What the page costs a browser: its size, its first picture, what a step makes and changes."""

import numpy as np
import pytest

from .conftest import go

pytestmark = pytest.mark.browser


def test_a_page_is_small_and_a_step_quick(visit, made):
    """A clock says little where others work too: it is printed, and bounded is how much a step changes and paints."""
    tab, (path, page, _) = visit("tiny"), made("tiny")
    assert path.stat().st_size <= 5_000_000
    tab.evaluate(COUNT)
    times, work = [], []
    for n in range(1, len(page.data["steps"])):
        go(tab, n)
        times.append(float(tab.evaluate("document.documentElement.dataset.milliseconds")))
        work.append(tab.evaluate("counted()"))
    most = {what: max(w[what] for w in work) for what in work[0]}
    usual = {what: float(np.median([w[what] for w in work])) for what in work[0]}
    paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"script per step: median {np.median(times):.1f} ms, 90th percentile {np.percentile(times, 90):.1f} ms")
    print(f"first paint {paint:.0f} ms; a step at most {most}, usually {usual}")
    assert most["pixels"] <= 20_000 and most["nodes"] <= 800 and most["attributes"] <= 130
    assert usual["nodes"] <= 180 and usual["attributes"] <= 40


COUNT = """() => {
  let pixels = 0;
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (image, ...rest) {
    pixels += image.width * image.height;
    return put.call(this, image, ...rest);
  };
  const made = new WeakSet();
  const fresh = (node) => {
    const own = made.has(node) ? 0 : 1;
    made.add(node);
    return [...node.childNodes].reduce((n, child) => n + fresh(child), own);
  };
  fresh(document.body);
  const records = [];
  const observer = new MutationObserver((some) => records.push(...some));
  observer.observe(document.body, { childList: true, attributes: true, subtree: true });
  window.counted = () => {
    records.push(...observer.takeRecords());
    const found = { pixels, nodes: 0, attributes: 0 };
    for (const r of records.splice(0)) {
      if (r.type === "attributes") found.attributes += 1;
      for (const node of r.addedNodes) found.nodes += fresh(node);
    }
    pixels = 0;
    return found;
  };
}"""
