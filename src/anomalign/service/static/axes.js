/** Axes of charts. */
import { s } from "./dom.js";

/** Round numbers (1, 2 or 5 times a power of ten apart) within [low, high]; no more than `about` + 1. */
export function ticks(low, high, about) {
  const rough = (high - low) / about;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((candidate) => candidate >= rough * (1 - 1e-9));
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k += 1) values.push(k * step);
  return values;
}

export const text = (x, y, name, content) => s("text", { x: x.toFixed(1), y: y.toFixed(1), class: name }, content);

export const across = (x1, x2, y, name) => s("line", { class: name, x1, x2, y1: y.toFixed(1), y2: y.toFixed(1) });

export const upright = (x, y1, y2, name) => s("line", { class: name, x1: x.toFixed(1), x2: x.toFixed(1), y1, y2 });

/** Linear interpolation in sorted values. */
export function quantile(sorted, q) {
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}
