"use strict";
// The hover text of a map: what it says of a point, as text and as the HTML that Plotly reads.
const HoverText = (function () {
  // Plotly reads markup in every text it draws, so names are never handed over raw.
  const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function short(text, most) {
    const letters = Array.from(String(text));
    if (letters.length <= most) return letters.join("");
    const head = Math.ceil((most - 1) / 2);
    return letters.slice(0, head).join("") + "…" + letters.slice(letters.length - (most - 1 - head)).join("");
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
    const lines = [`<b>${escape(short(data.names[row], most))}</b>`];
    for (const line of [of.where, of.kind, of.bits]) if (line) lines.push(escape(short(line, most)));
    lines.push("<i>nearest, KL ± standard error in bits/byte</i>");
    for (const [name, value] of nearest(data, row)) lines.push(`${escape(value)}  ${escape(short(name, most - 16))}`);
    return lines.join("<br>");
  }

  return {escape, short, facts, nearest, hover};
})();
