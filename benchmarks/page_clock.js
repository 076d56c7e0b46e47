"use strict";
// Clocks of benchmarks/page.py within a page with a map: milliseconds by the page's own clock.
window.clock = (function () {
  const plot = () => document.getElementById("plot");
  const marks = {};

  // When the map was drawn, and when its members' tags had come.
  new MutationObserver(() => {
    for (const mark of ["drawn", "members"]) {
      if (plot() && plot().dataset[mark] && !marks[mark]) marks[mark] = performance.now();
    }
  }).observe(document, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-drawn", "data-members"],
  });

  function sent() {
    const entries = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
    return entries.map((entry) => [entry.name, entry.encodedBodySize, entry.duration]);
  }

  // When the second frame after a drawing begins, the first is on the screen.
  const shown = (then) => requestAnimationFrame(() => requestAnimationFrame(then));

  function colour(value, done) {
    const choice = document.getElementById("colour"), from = performance.now();
    plot().once("plotly_afterplot", () => shown(() => done(performance.now() - from)));
    choice.value = value;
    choice.dispatchEvent(new Event("change", {bubbles: true}));
  }

  function three(done) {
    const from = performance.now();
    new MutationObserver((_, self) => {
      if (!plot().dataset.drawn.endsWith("3")) return;
      self.disconnect();
      shown(() => done(performance.now() - from));
    }).observe(plot(), {attributes: true, attributeFilter: ["data-drawn"]});
    document.getElementById("three").click();
  }

  function hover(row, done) {
    const {xaxis, yaxis} = plot()._fullLayout;
    const trace = plot().data.find((of) => of.customdata && of.customdata.includes(row));
    const k = trace.customdata.indexOf(row);
    const box = plot().getBoundingClientRect(), layer = plot().querySelector(".hoverlayer");
    const at = {
      clientX: box.left + xaxis._offset + xaxis.l2p(trace.x[k]),
      clientY: box.top + yaxis._offset + yaxis.l2p(trace.y[k]), bubbles: true,
    };
    layer.replaceChildren();
    // Plotly looks again only some time after it last looked.
    setTimeout(() => {
      const from = performance.now();
      new MutationObserver((_, self) => {
        if (!layer.querySelector(".hovertext")) return;
        self.disconnect();
        done(performance.now() - from);
      }).observe(layer, {subtree: true, childList: true});
      plot().querySelector(".nsewdrag").dispatchEvent(new MouseEvent("mousemove", at));
    }, 120);
  }

  const frames = [];
  let ticking = null;

  function startFrames() {
    let last = null;
    const tick = (now) => {
      if (last !== null) frames.push(now - last);
      last = now;
      ticking = requestAnimationFrame(tick);
    };
    ticking = requestAnimationFrame(tick);
  }

  function stopFrames() {
    cancelAnimationFrame(ticking);
    return frames;
  }

  function pair(query, done) {
    const from = performance.now();
    fetch(`api/pair?${query}`).then((response) => response.json())
      .then((told) => done([performance.now() - from, told.kl]));
  }

  return {marks, sent, colour, three, hover, startFrames, stopFrames, pair};
})();
