/** The regions of heat: their outlines over the picture, and a list of them with their numbers. */
import { byId, fill, h, s } from "./dom.js";
import { scrollSideways } from "./sideways.js";
import { count, number, oneIn, several } from "./words.js";

/** Draw the regions of a record; an earlier version recorded none. `choose({fy, fx})` is called with the peak of the
    one that is pressed. Returns the layer of outlines. */
export function drawRegions(record, viewer, choose) {
  const { regions, region_count: total, height, width } = record;
  byId("regions-part").hidden = regions.length === 0;
  byId("regions-title").textContent = several(total, "region");
  byId("regions-note").textContent = total > regions.length ? `the worst ${regions.length}` : "worst first";
  fill(
    byId("regions"),
    regions.map((region, i) => h("li", {}, button(region, i + 1, () => choose(placeOf(region, height, width))))),
  );
  scrollSideways(byId("regions"), "regions");
  const outlines = s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" },
    regions.flatMap(({ outline }) => {
      const points = outline.map(([y, x]) => `${x},${y}`).join(" ");
      return ["under", "line"].map((name) => s("polygon", { class: name, points }));
    }),
  );
  const tags = regions.map(tag(record));
  return viewer.layer(h("div", { class: "regions-layer", "aria-hidden": "true" }, outlines, tags));
}

function button({ peak, box, area_px, p_value, place_score, centre }, place, press) {
  const [top, left, bottom, right] = box;
  const title = [
    "show the match of its peak",
    `peak at row ${peak[0]}, column ${peak[1]}, place score ${number(place_score)}`,
    `box: rows ${top} to ${bottom - 1}, columns ${left} to ${right - 1}`,
    `${count(area_px)} pixels, centre at row ${centre[0].toFixed(0)}, column ${centre[1].toFixed(0)}`,
  ];
  return h(
    "button",
    { type: "button", title: title.join("\n"), onclick: press },
    h("span", { class: "region-number" }, place),
    h(
      "span",
      {},
      h("span", {}, `${right - left} \u00d7 ${bottom - top} px at ${peak[0]}, ${peak[1]}`),
      h("span", { class: "quiet" }, `${oneIn(p_value)} pixels`),
    ),
  );
}

/** Centre of the peak's pixel, as a place of the picture. */
const placeOf = ({ peak: [y, x] }, height, width) => ({ fy: (y + 0.5) / height, fx: (x + 0.5) / width });

const tag =
  ({ height, width, shown: [shownTop, , shownBottom, shownRight] }) =>
  ({ box: [top, left] }, i) => {
    const element = h("span", { class: "region-number" }, i + 1);
    if (top - shownTop < 0.08 * (shownBottom - shownTop)) element.classList.add("inside");
    element.style.top = `${(100 * top) / height}%`;
    element.style.left = `min(${(100 * left) / width}%, calc(${(100 * shownRight) / width}% - 22px))`;
    return element;
  };
