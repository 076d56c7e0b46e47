// Two points of a map: choosing them, and what the server says of the KL between them.
import {ask} from "./api.js";
import {combobox} from "./combobox.js";
import {el, mlflowRun, problem} from "./elements.js";
import {link} from "./state.js";

const MOST_UNDER = 30;

// onChange(whether it is a step of its own); under(row): the rows that lie at its place, itself first.
// Returns {element, pick(row), rest(row or nothing), set([a, b]), link(experiments), pair()}.
export function pairPanel({run, data, under, onChange}) {
  let pair = [null, null], experiments = null, turn = 0;
  const boxes = ["A", "B"].map((letter, k) => combobox({
    id: `point-${letter.toLowerCase()}`, label: `Point ${letter}`, options: data.names,
    onChoose: (row) => replace(k, row),
  }));
  const result = el("div", {class: "result", id: "pair", "aria-live": "polite", "aria-atomic": "true"});
  const facts = el("div", {id: "facts"});
  const place = el("div", {id: "under"});
  const hovered = el("div", {id: "hovered", "aria-hidden": "true", hidden: true});
  const element = el("section", {class: "pair", "aria-labelledby": "pair-title"},
    el("h2", {id: "pair-title"}, "Two points"), boxes.map((box) => box.element), place, result, facts, hovered);

  const replace = (k, row, fromMap = false) => set(pair.map((old, at) => at === k ? row : old), {step: true, fromMap, last: k});

  // The first pick is A, the second B, the next begins anew.
  function pick(row) {
    const [a, b] = pair;
    if (a === null || (b !== null && row !== a)) set([row, null], {step: true, fromMap: true, last: 0});
    else if (row === a) set([null, b], {step: true, fromMap: true});
    else set([a, row], {step: true, fromMap: true, last: 1});
  }

  async function set(rows, {step = false, fromMap = false, last = null} = {}) {
    pair = rows;
    boxes.forEach((box, k) => box.show(pair[k]));
    onChange(step);
    const mine = ++turn;
    delete result.dataset.pair;
    tellPoints();
    tellUnder(last);
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
      result.replaceChildren(...told(answer));
      result.dataset.pair = `${a},${b}`;
      // Beside the map it is seen anyway; below it, on a phone, it may be off the screen.
      if (MapDrawing.narrow() && fromMap) result.scrollIntoView({block: "nearest", behavior: "smooth"});
    } catch (error) {
      if (mine === turn) result.replaceChildren(problem(error));
    }
  }

  // Points under the one that was chosen last cannot be clicked; here each can.
  function tellUnder(k) {
    const row = k === null ? null : pair[k];
    const others = row === null ? [] : under(row).slice(1);
    place.replaceChildren(...(others.length ? [
      el("p", {}, `${others.length === 1 ? "Another point lies" : `${others.length} more points lie`} at the place of ${"AB"[k]}; take instead:`),
      el("ul", {class: "choices"}, others.slice(0, MOST_UNDER).map((other) => el("li", {}, choice(other, () => replace(k, other, true))))),
      others.length > MOST_UNDER ? el("p", {}, `and ${others.length - MOST_UNDER} more; zoom in.`) : "",
    ] : []));
  }

  const choice = (row, onclick) => el("button", {type: "button", class: "small", onclick}, data.names[row]);

  // Beside the map, where it covers no point, as the label at the mouse would.
  function rest(row) {
    hovered.hidden = row === undefined || MapDrawing.narrow();
    if (hovered.hidden) return;
    const of = HoverText.facts(data, row), more = under(row).length - 1;
    hovered.replaceChildren(
      el("strong", {}, data.names[row]),
      ...[of.where, of.kind, of.bits].filter(Boolean).map((line) => el("p", {}, line)),
      el("p", {}, "nearest, KL ± standard error in bits/byte:"),
      ...HoverText.nearest(data, row).map(([name, value]) => el("p", {class: "near"}, `${value}  ${name}`)),
      more ? el("p", {}, `${more === 1 ? "Another point lies" : `${more} more points lie`} here; click to see which.`) : "");
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
    const where = experiments && experiments[row];
    const k = "AB".indexOf(letter);
    const near = HoverText.nearest(data, row).flatMap(([, value], at) =>
      [at ? "; " : "", choice(data.nearest[row][at][0], () => replace(1 - k, data.nearest[row][at][0])), ` (${value})`]);
    return [
      el("dt", {}, `${letter}: ${data.names[row]}`),
      el("dd", {}, [of.where, of.kind].filter(Boolean).join(" · ")),
      el("dd", {}, `${ValueAndError.withError(data.bits_per_byte[row], se)} bits per byte`),
      el("dd", {class: "nearest"}, `nearest, to be ${"AB"[1 - k]}: `, near),
      el("dd", {}, where
        ? [el("a", {href: link({run: data.run_id[row]})}, "the maps it is on"), " · ", el("a", {href: mlflowRun(where, data.run_id[row])}, `its run in MLflow`)]
        : experiments ? "Its run was deleted, or you may not read it." : ""),
    ];
  }

  function linked(found) {
    experiments = found;
    tellPoints();
  }

  return {element, pick, rest, set, link: linked, pair: () => pair};
}
