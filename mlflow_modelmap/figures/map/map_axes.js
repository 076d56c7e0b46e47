"use strict";
// The axes of a model map: what is written on them, and how long they are beside each other.
const MapAxes = (function () {
  // Not Math.min(...values), which takes no hundred thousand.
  function extent(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? {low, high} : {low: 1, high: 1};
  }

  function axis(data, embedding, k) {
    const gridcolor = Look.now().grid;
    if (embedding === "tsne") {
      return {title: {text: `t-SNE axis ${k + 1} (no unit)`}, showticklabels: false, ticks: "", zeroline: false, gridcolor};
    }
    const share = data.explained.length > k ? `, ${(100 * data.explained[k]).toFixed(0)} %` : "";
    return {title: {text: `PC ${k + 1}${share} (√(bits/byte))`}, zeroline: false, gridcolor};
  }

  // Equal units on all axes, but none so thin that nothing could be told apart on it.
  function proportions(at) {
    const widths = at.map(extent).map(({low, high}) => high - low);
    const longest = Math.max(...widths) || 1;
    const [x, y, z] = widths.map((value) => 1.25 * Math.max(value / longest, 0.35));
    return {x, y, z};
  }

  // The axes' part of a layout.
  function layout(data, {embedding, dimensions}) {
    if (dimensions === 2) {
      const [xaxis, yaxis] = [axis(data, embedding, 0), axis(data, embedding, 1)];
      return {xaxis, yaxis: embedding === "pca" ? {...yaxis, scaleanchor: "x", scaleratio: 1} : yaxis};
    }
    const scene = {xaxis: axis(data, embedding, 0), yaxis: axis(data, embedding, 1), zaxis: axis(data, embedding, 2),
      aspectmode: "manual", aspectratio: proportions(data.coordinates[embedding + 3])};
    for (const name of ["xaxis", "yaxis", "zaxis"]) scene[name].title.text = scene[name].title.text.replace(" (√(bits/byte))", "");
    return {scene};
  }

  return {extent, layout};
})();
