// The map's points as a table, for those who do not see the drawing.
import {el, table} from "./elements.js";

const PAGE = 100;

// rows() gives the rows to list; onPick(row) chooses one.
export function pointsTable({data, rows, onPick}) {
  const place = el("div");
  let most = PAGE;
  const details = el("details", {id: "table", ontoggle: draw}, el("summary", {}, "The points as a table"), place);

  function draw() {
    if (!details.open) return;
    const all = rows();
    const missing = (value) => value === null || value === undefined ? "" : String(value);
    const columns = [
      {title: "Choose", of: (r) => el("button", {type: "button", class: "small", "aria-label": `Choose ${data.names[r]}`, onclick: () => onPick(r)}, "choose")},
      {title: "Point", name: true, of: (r) => data.names[r]},
      {title: "Trajectory", of: (r) => missing(data.trajectory[r])},
      {title: "Step", number: true, of: (r) => data.step[r] === null ? "" : data.step[r].toLocaleString("en")},
      {title: "Type", of: (r) => missing(data.model_type[r])},
      {title: "Precision", of: (r) => missing(data.precision[r])},
      {title: "Bits per byte", number: true, of: (r) => ValueAndError.withError(data.bits_per_byte[r], data.bits_per_byte_se[r])},
      {title: "Nearest, KL ± standard error", name: true, of: (r) => HoverText.nearest(data, r).slice(0, 1).map(([name, value]) => `${name} (${value})`).join("")},
    ];
    const shown = all.slice(0, most);
    place.replaceChildren(
      table(`${shown.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} points`, columns, shown),
      all.length > most ? el("p", {}, el("button", {type: "button", onclick: () => { most += 5 * PAGE; draw(); }}, "Show more")) : "");
  }

  return {element: details, draw};
}
