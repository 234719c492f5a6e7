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
  const tags = regions.map((_, i) => h("span", { class: "region-number" }, i + 1));
  const layer = viewer.layer(h("div", { class: "regions-layer", "aria-hidden": "true" }, outlines, tags));
  new ResizeObserver(() => arrange(tags, record, layer)).observe(layer); // with zoom there is more room
  return layer;
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

const TAG_PX = 20; // height, and least width
const RING_PX = 18; // around a peak: the cross-hair

/** Put each number where it covers neither an earlier one nor the peak of its region: above the region, else at its top,
    below it or beside it. One for which there is no room is hidden; the list has it. */
function arrange(tags, { regions, height, width, shown }, layer) {
  const [down, across] = [layer.clientHeight / height, layer.clientWidth / width];
  const placed = [];
  tags.forEach((tag, i) => {
    const [top, left, bottom, right] = regions[i].box.map((side, n) => side * (n % 2 ? across : down));
    const [y, x] = [(regions[i].peak[0] + 0.5) * down, (regions[i].peak[1] + 0.5) * across];
    const ring = { top: y - RING_PX, left: x - RING_PX, bottom: y + RING_PX, right: x + RING_PX };
    const wide = Math.max(TAG_PX, tag.offsetWidth);
    const [first, last] = [shown[1] * across, shown[3] * across - wide];
    const around = {
      top: Math.min(top, ring.top),
      left: Math.min(left, ring.left),
      bottom: Math.max(bottom, ring.bottom),
      right: Math.max(right, ring.right),
    };
    const place = [...placesOf({ top, left, bottom, right }, wide), ...placesOf(around, wide)]
      .map(([at, start]) => [at, Math.min(Math.max(start, first), last)])
      .map(([at, start]) => ({ top: at, left: start, bottom: at + TAG_PX, right: start + wide }))
      .filter((one) => one.top >= shown[0] * down && one.bottom <= shown[2] * down)
      .find((one) => ![ring, ...placed].some((other) => overlap(one, other)));
    tag.style.visibility = place ? "visible" : "hidden";
    if (!place) return;
    placed.push(place);
    tag.style.top = `${place.top}px`;
    tag.style.left = `${place.left}px`;
  });
}

const placesOf = ({ top, left, bottom, right }, wide) => [
  ...[top - TAG_PX, top, bottom].map((at) => [at, left]),
  ...[right, left - wide, left + wide].flatMap((start) =>
    [top, top - TAG_PX, bottom, bottom - TAG_PX].map((at) => [at, start]),
  ),
];

const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
