// The axis of training steps that charts share: linear or logarithmic, with a place for step 0.
import {chart} from "./charts.js";
import {el} from "./elements.js";
import {change, read} from "./state.js";

// Appends the choice; at(step) is where a step stands, chart() draws one that follows the choice.
export function stepAxis(here, lines, state) {
  const steps = lines.flatMap((line) => line.bits_per_byte.map((row) => row.step));
  const least = Math.min(...steps.filter((step) => step > 0));
  const possible = Number.isFinite(least) && steps.some((step) => step > least);
  const zeroAt = steps.some((step) => step <= 0) ? least / 4 : null;
  const drawn = [];
  let log = possible && state.steps === "log";
  const choice = el("fieldset", {class: "steps"}, el("legend", {}, "Axis of training steps"), ["linear", "log"].flatMap((kind) => [
    el("input", {type: "radio", name: "steps", id: `steps-${kind}`, value: kind, checked: (kind === "log") === log, onchange: () => {
      log = kind === "log";
      change({...read(), steps: log ? "log" : ""}, {step: true});
      drawn.forEach((draw) => draw());
    }}),
    el("label", {for: `steps-${kind}`}, kind === "log" ? "steps by powers" : "steps evenly")]));
  if (possible) here.append(choice);

  return {
    at: (step) => log && step <= 0 ? zeroAt : step,
    layout: () => ({title: {text: "training step"}, type: log ? "log" : "linear", uirevision: log}),
    async chart(where, of) {
      const {draw} = await chart(where, {...of, zeroAt});
      drawn.push(draw);
    },
  };
}
