// The map's points as a table, for those who do not see the drawing.
import {withError} from "./charts.js";
import {el} from "./elements.js";
import {measured, table} from "./table.js";

const PAGE = 100;

// rows() gives the rows to list; onPick(row) chooses one; file: what a kept table is called.
export function pointsTable({data, rows, onPick, file}) {
  const place = el("div");
  let most = PAGE;
  const details = el("details", {id: "table", ontoggle: draw}, el("summary", {}, "The points as a table"), place);
  const missing = (value) => value === null || value === undefined ? "" : String(value);
  const columns = [
    {title: "Choose", plain: true, of: (r) => el("button", {type: "button", class: "small", "aria-label": `Choose ${data.names[r]}`, onclick: () => onPick(r)}, "choose")},
    {title: "Point", name: true, of: (r) => data.names[r]},
    {title: "Trajectory", of: (r) => missing(data.trajectory[r])},
    {title: "Step", number: true, of: (r) => data.step[r] === null ? "" : data.step[r].toLocaleString("en"), values: {Step: (r) => data.step[r]}},
    {title: "Type", of: (r) => missing(data.model_type[r])},
    {title: "Precision", of: (r) => missing(data.precision[r])},
    measured("Bits per byte", (r) => data.bits_per_byte[r], (r) => data.bits_per_byte_se[r], withError),
    {title: "Nearest, KL ± standard error", name: true, of: (r) => HoverText.nearest(data, r).slice(0, 1).map(([name, value]) => `${name} (${value})`).join(""),
      values: {"KL to the nearest": (r) => nearest(r)[1], "its standard error": (r) => nearest(r)[2], Nearest: (r) => data.names[nearest(r)[0]]}},
  ];
  const nearest = (r) => data.nearest[r][0] || [null, null, null];

  function draw() {
    if (!details.open) return;
    const all = rows();
    const shown = all.slice(0, most);
    place.replaceChildren(
      table(`${shown.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} points`, columns, shown, {all, file}),
      all.length > most ? el("p", {}, el("button", {type: "button", onclick: () => { most += 5 * PAGE; draw(); }}, "Show more")) : "");
  }

  return {element: details, draw};
}
