"use strict";
// Ticks of logarithmic axes with whole numbers beside them: 10, 20, 50, and not a small 2 and 5.
const LogTicks = (function () {
  const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const FEW = [1, 2, 5], MANY = [1, 1.5, 2, 3, 4, 5, 6, 8];

  const power = (exponent) => `10${exponent < 0 ? "⁻" : ""}${Array.from(String(Math.abs(exponent)), (d) => RAISED[d]).join("")}`;

  // Up to five places as people write it, beyond as a power of ten.
  function written(digit, exponent) {
    if (exponent >= -4 && exponent < 6) return Number(`${digit}e${exponent}`).toLocaleString("en", {maximumFractionDigits: 8});
    return digit === 1 ? power(exponent) : `${digit}×${power(exponent)}`;
  }

  function linear(low, high) {
    const rough = (high - low) / 4;
    const exponent = Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((digit) => digit * 10 ** exponent >= rough) * 10 ** exponent;
    const values = [];
    for (let k = Math.ceil(low / step); k * step <= high; k += 1) values.push(k * step);
    return values.map((value) => [value, value.toLocaleString("en", {maximumSignificantDigits: 6})]);
  }

  // Between two positive values: {tickvals, ticktext}; no more than about a dozen.
  function between(low, high, room = 12) {
    const decades = Math.log10(high / low);
    let found = [];
    if (decades < 0.5) found = linear(low, high);
    else {
      const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
      const digits = decades * MANY.length <= room ? MANY : decades * FEW.length <= room ? FEW : [1];
      const every = digits.length > 1 ? 1 : Math.max(1, Math.ceil(decades / room));
      for (let exponent = Math.ceil(first / every) * every; exponent <= last; exponent += every) {
        for (const digit of digits) found.push([Number(`${digit}e${exponent}`), written(digit, exponent)]);
      }
    }
    found = found.filter(([value]) => value >= low * 0.9999 && value <= high * 1.0001);
    return {tickvals: found.map(([value]) => value), ticktext: found.map(([, text]) => text)};
  }

  return {between};
})();
