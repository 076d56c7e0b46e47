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

  // Between two positive values: as many as there is room for, and two where there are two.
  function between(low, high, room = 12) {
    const within = ([value]) => value >= low * 0.9999 && value <= high * 1.0001;
    const decades = Math.log10(high / low);
    const every = Math.max(1, Math.ceil(decades / room));
    const first = Math.floor(Math.log10(low) / every) * every, last = Math.ceil(Math.log10(high));
    const tries = decades < 0.5 ? [linear(low, high)] : [MANY, FEW, [1, 3], [1]].map((digits) => {
      const found = [];
      for (let exponent = first; exponent <= last; exponent += digits.length > 1 ? 1 : every) {
        for (const digit of digits) found.push([Number(`${digit}e${exponent}`), written(digit, exponent)]);
      }
      return found.filter(within);
    });
    const found = tries.find((ticks) => ticks.length <= room) || tries[tries.length - 1];
    return {tickvals: found.map(([value]) => value), ticktext: found.map(([, text]) => text)};
  }

  return {between};
})();
