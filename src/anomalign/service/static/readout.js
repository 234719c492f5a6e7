/** Numbers about the place under the cross-hair. */
import { byId, fill, h, s } from "./dom.js";
import { number, oneIn, share } from "./words.js";

const LEVELS = {
  1: ["all"],
  2: ["fine detail", "shape"],
  3: ["fine detail", "texture", "shape"],
  4: ["fine detail", "texture", "parts", "shape"],
};

/** Show the numbers of a match, as `matchOf` returns it. */
export function showReadout(match) {
  byId("rarity").textContent = rarity(match.p);
  byId("distance").textContent = number(match.distance);
  byId("usual-row").hidden = !match.usual;
  if (match.usual) byId("usual").textContent = `${number(match.usual[0])} to ${number(match.usual[1])}`;
  moveMark(match.p);
  const names = LEVELS[match.perLevel.length] ?? match.perLevel.map((_, i) => `level ${i + 1}`);
  const total = match.perLevel.reduce((sum, part) => sum + part, 0) || 1;
  const levels = byId("levels");
  levels.setAttribute(
    "aria-label",
    `Difference by level: ${names.map((name, i) => `${name} ${share(match.perLevel[i] / total)}`).join(", ")}`,
  );
  if (levels.children.length !== names.length) {
    fill(
      levels,
      names.map((name) =>
        h(
          "div",
          { class: "level" },
          h("span", {}, name),
          s(
            "svg",
            { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
            s("rect", { width: 100, height: 10 }),
            s("rect", { class: "part", height: 10 }),
          ),
          h("span", { class: "n" }),
        ),
      ),
    );
  }
  match.perLevel.forEach((part, i) => {
    const [, bar, text] = levels.children[i].children;
    bar.lastElementChild.setAttribute("width", Math.max(0, (100 * part) / total).toFixed(1));
    text.textContent = share(Math.max(0, part / total));
  });
}

/** How rare a place is, in words. The service's p-value is the share of normal places that look as unusual. */
export function rarity(p) {
  if (p > 0.2) return "typical";
  return `${oneIn(p)} normal places`;
}

/** Move the mark on the legend: heat begins at 1 in 1,000 and is full at 1 in 100,000. */
function moveMark(p) {
  const mark = byId("legend-mark");
  const at = Math.min(Math.max((Math.log10(p) + 3) / -2, 0), 1);
  mark.setAttribute("transform", `translate(${6 + 288 * at} 1)`);
  mark.setAttribute("visibility", p <= 1e-3 ? "visible" : "hidden");
}
