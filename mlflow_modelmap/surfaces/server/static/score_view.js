// A score: what it is of, and the maps that it stands on.
import {number} from "./charts.js";
import {day, el} from "./elements.js";
import {link} from "./state.js";

export function showScore(here, {data}) {
  const facts = {...data.facts, ...(data.bits_per_byte === null ? {} : {"Bits per byte": number(data.bits_per_byte)})};
  here.append(
    el("h2", {}, "What was scored"),
    el("dl", {class: "facts", id: "score"}, Object.entries(facts).flatMap(([title, value]) => [el("dt", {}, title), el("dd", {}, value)])),
    el("h2", {}, "Maps that it is on"));
  const among = data.looked_at === data.most ? ` Only the latest ${data.most} maps on these texts were looked through.` : "";
  here.append(
    data.maps.length ? el("ul", {class: "list", id: "maps"}, data.maps.map((of) => el("li", {},
      el("a", {href: link({run: of.run_id, a: of.points[0]})}, of.name),
      el("p", {class: "under"}, [`as ${of.points.slice(0, 3).join(", ")}${of.points.length > 3 ? ", ..." : ""}`, of.experiment, day(of.start_time)].filter(Boolean).join(" · ")))))
      : el("p", {}, data.looked_at ? "It is on none of the maps on its texts that you may read." : "There is no map on its texts that you may read."),
    among ? el("p", {class: "under"}, among) : "");
}
