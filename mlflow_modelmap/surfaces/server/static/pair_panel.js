// Two points of a map: choosing them, and what the server says of the KL between them.
import {ask} from "./api.js";
import {combobox} from "./combobox.js";
import {el, mlflowRun, problem} from "./elements.js";

// onChange([a, b]) with rows or null. Returns {element, pick(row), set([a, b]), link(experiments)}.
export function pairPanel({run, data, onChange}) {
  let pair = [null, null], experiments = null, turn = 0, answered = null;
  const boxes = ["A", "B"].map((letter, k) => combobox({
    id: `point-${letter.toLowerCase()}`, label: `Point ${letter}`, options: data.names,
    onChoose: (row) => set(pair.map((old, at) => at === k ? row : old)),
  }));
  const result = el("div", {class: "result", id: "pair", "aria-live": "polite", "aria-atomic": "true"});
  const facts = el("div", {id: "facts"});
  const element = el("section", {class: "pair", "aria-labelledby": "pair-title"},
    el("h2", {id: "pair-title"}, "Two points"), boxes.map((box) => box.element), result, facts);

  // The first pick is A, the second B, the next begins anew.
  function pick(row) {
    const [a, b] = pair;
    if (a === null || (b !== null && row !== a)) set([row, null], true);
    else if (row === a) set([null, b], true);
    else set([a, row], true);
  }

  async function set(rows, fromMap = false) {
    pair = rows;
    boxes.forEach((box, k) => box.show(pair[k]));
    onChange(pair);
    const mine = ++turn;
    answered = null;
    delete result.dataset.pair;
    tellPoints();
    const [a, b] = pair;
    if (a === null || b === null) {
      result.replaceChildren(el("p", {}, a === null && b === null
        ? "Click two points on the map, or choose them here, to see the KL divergence between them."
        : "Now choose the other point."));
      return;
    }
    try {
      const answer = await ask("pair", {run_id: run, a, b});
      if (mine !== turn) return;
      answered = answer;
      result.replaceChildren(...told(answer));
      result.dataset.pair = `${a},${b}`;
      tellPoints();
      // Beside the map it is seen anyway; below it, on a phone, it may be off the screen.
      if (MapDrawing.narrow() && fromMap) result.scrollIntoView({block: "nearest", behavior: "smooth"});
    } catch (error) {
      if (mine === turn) result.replaceChildren(problem(error));
    }
  }

  function told({kl, se, low, high, words, vectors, noise, sharpness, bits_per_byte_difference: difference, bits_per_byte_difference_se: error, exact}) {
    const interval = low === null && high === null ? "no interval from so few texts" : `95 % interval ${range(low, high)}`;
    return [
      el("p", {class: "kl"}, `KL${vectors} = ${ValueAndError.withError(kl, se)}`),
      el("p", {}, `bits per byte, ± standard error; ${interval}`),
      el("p", {class: "words"}, `That is ${words}.`),
      noise ? el("p", {id: "noise"}, noise) : "",
      el("p", {class: "sharpness"}, `It is ${sharpness}.`),
      el("p", {class: "difference"}, `Bits per byte of A less those of B: ${ValueAndError.withError(difference, error)}. What of it is equal on all texts is not in the KL.`),
      ...(exact ? [el("p", {class: "exact"},
        `Exact, over ${exact.tokens.toLocaleString("en")} tokens: KL(A || B) = ${ValueAndError.withError(exact.forward, exact.forward_se)}, `
        + `KL(B || A) = ${ValueAndError.withError(exact.reverse, exact.reverse_se)} bits per byte; the same likeliest token at ${(100 * exact.top1).toFixed(2)} % of tokens.`)] : []),
    ];
  }

  function range(low, high) {
    const write = (value) => value === 0 ? "0" : value === null || value < 1e-4 || value >= 1e5 ? Number(value).toExponential(2) : value.toPrecision(3);
    return `${write(low)} to ${high === null ? "no upper bound" : write(high)}`;
  }

  function tellPoints() {
    facts.replaceChildren(el("dl", {class: "facts"}, pair.flatMap((row, k) => row === null ? [] : about(row, "AB"[k]))));
  }

  function about(row, letter) {
    const of = HoverText.facts(data, row);
    const se = data.bits_per_byte_se[row];
    const near = HoverText.nearest(data, row).map(([name, value]) => `${name} (${value})`).join("; ");
    const where = experiments && experiments[row];
    return [
      el("dt", {}, `${letter}: ${data.names[row]}`),
      el("dd", {}, [of.where, of.kind].filter(Boolean).join(" · ")),
      el("dd", {}, `${ValueAndError.withError(data.bits_per_byte[row], se)} bits per byte`),
      el("dd", {}, `nearest: ${near}`),
      el("dd", {}, where
        ? el("a", {href: mlflowRun(where, data.run_id[row])}, `its run in MLflow`)
        : experiments ? "Its run was deleted, or you may not read it." : ""),
    ];
  }

  function link(found) {
    experiments = found;
    tellPoints();
  }

  return {element, pick, set, link, pair: () => pair, answer: () => answered};
}
