"use strict";
// Every text that Plotly draws is made here, and nowhere else: it reads markup in all of them.
const HoverText = (function () {
  const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function short(text, most) {
    const letters = Array.from(String(text));
    if (letters.length <= most) return letters.join("");
    const head = Math.ceil((most - 1) / 2);
    return letters.slice(0, head).join("") + "…" + letters.slice(letters.length - (most - 1 - head)).join("");
  }

  // A name as Plotly draws it, in a legend or on an axis.
  const name = (text, most) => escape(short(text, most));

  // A box of lines, the first of them bold; whatever the lines hold is only read.
  function lines(first, ...rest) {
    const kept = rest.flat().filter((line) => line !== null && line !== undefined && line !== "");
    return [`<b>${escape(first)}</b>`, ...kept.map((line) => escape(line))].join("<br>");
  }

  function facts(data, row) {
    const where = [];
    if (data.trajectory[row] !== null) where.push(data.trajectory[row]);
    if (data.step[row] !== null) where.push(`step ${data.step[row].toLocaleString("en")}`);
    if (data.layer[row] !== null) where.push(`layer ${data.layer[row]}`);
    const kind = [data.model_type[row], data.precision[row]].filter((value) => value !== null);
    return {where: where.join(", "), kind: kind.join(", "), bits: `${data.bits_per_byte[row].toFixed(4)} bits per byte`};
  }

  const nearest = (data, row) => data.nearest[row].map(([other, kl, se]) => [data.names[other], ValueAndError.withError(kl, se)]);

  function hover(data, row, narrow) {
    const most = narrow ? 34 : 70;
    const of = facts(data, row);
    return lines(short(data.names[row], most), [of.where, of.kind, of.bits].map((line) => short(line, most)),
      "nearest, KL ± standard error in bits/byte:",
      nearest(data, row).map(([other, value]) => `${value}  ${short(other, most - 16)}`));
  }

  return {short, name, lines, facts, nearest, hover};
})();
