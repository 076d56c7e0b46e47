"use strict";
// Which names can be written beside their points so that none lies on another.
const MapNames = (function () {
  const LETTER = 6.4, LINE = 14, MOST = 400;
  const cell = (at) => Math.floor(at / LINE);

  // points: [[x, y, text]] in pixels, the most wanted first; the indices of those that have room
  // between the edges.
  function free(points, width = Infinity) {
    const rows = new Map();
    const chosen = [];
    points.forEach(([x, y, text], k) => {
      if (chosen.length >= MOST || !Number.isFinite(x + y)) return;
      const half = LETTER * text.length / 2;
      if (x < half || x > width - half) return;
      const line = cell(y);
      const taken = [line - 1, line, line + 1].flatMap((key) => rows.get(key) || []);
      if (taken.some(([otherX, otherY, otherHalf]) => Math.abs(otherY - y) < LINE && Math.abs(otherX - x) < half + otherHalf)) return;
      if (!rows.has(line)) rows.set(line, []);
      rows.get(line).push([x, y, half]);
      chosen.push(k);
    });
    return chosen;
  }

  return {free};
})();
