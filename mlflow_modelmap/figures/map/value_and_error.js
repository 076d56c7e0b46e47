"use strict";
// A number with its error, as people read it; the rule is that of words/value_and_error.py.
const ValueAndError = (function () {
  const MISSING = "not measured";
  const SMALLEST = -4, LARGEST = 5, MOST_PLACES = 12;
  const isKnown = (number) => typeof number === "number" && Number.isFinite(number);

  const exponentOf = (number, digits) => Number(number.toExponential(digits).split("e")[1]);

  // Divided by a power of ten in its decimals, which no two languages do otherwise.
  function shifted(number, exponent) {
    const [digits, own] = number.toExponential().split("e");
    return Number(`${digits}e${Number(own) - exponent}`);
  }

  const fixed = (number, places) => number.toFixed(places).replace(/^-(?=[0.]+$)/, "");

  const power = (exponent) => `e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;

  // 0.0123 ± 0.0011: two digits of the error, and one exponent for both where they are very small or large.
  function withError(value, error) {
    if (!isKnown(value)) return MISSING;
    const known = isKnown(error);
    let spread = known ? Math.abs(error) : 0;
    const size = Math.max(Math.abs(value), spread);
    if (size === 0) return known ? "0 ± 0" : "0";
    let exponent = exponentOf(size, 15);
    if (SMALLEST <= exponent && exponent < LARGEST) exponent = 0;
    value = shifted(value, exponent);
    spread = shifted(spread, exponent);
    const wanted = spread ? 1 - exponentOf(spread, 1) : (known ? 3 : 2) - exponentOf(Math.abs(value), 2);
    const places = Math.min(MOST_PLACES, Math.max(0, wanted));
    let text = fixed(value, places);
    if (known) text += ` ± ${spread ? fixed(spread, places) : "0"}`;
    if (!exponent) return text;
    return (known ? `(${text})` : text) + power(exponent);
  }

  return {withError};
})();
