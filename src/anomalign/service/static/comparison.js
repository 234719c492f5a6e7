/** Two pictures side by side: a place in the inspected image, and its match in a normal image. */
import { api, get } from "./api.js";
import { magnify } from "./crops.js";
import { byId, h, say, show } from "./dom.js";
import { keepView } from "./kept_view.js";
import { bind } from "./keys.js";
import { cellAt, counts, matchOf, mostUnusual, placeOf } from "./matches.js";
import { drawStrip, markMatch, markOnly } from "./neighbours.js";
import { rarity, showReadout } from "./readout.js";
import { drawRegions } from "./regions.js";
import { scrollSideways } from "./sideways.js";
import { follow, Viewer } from "./viewer.js";
import { fileName, number, sentence } from "./words.js";
import { Zoom } from "./zoom.js";

const HEAT = "anomalign.heat";
const HEAT_ON = "anomalign.heat-on"; // the opacity that the key "h" restores

const here = new Viewer(byId("here"));
const there = new Viewer(byId("there"));
const zoom = new Zoom([here, there], onZoom);
const normals = new Map(); // id of a normal image -> its <img>
let record = null;
let allMatches = null; // with all neighbours
let matches = null; // the ones shown: `allMatches`, or those with one neighbour only
let picture = null; // <img> of the inspected image
let onlyNeighbour = null; // id of the only neighbour that is compared with; null: all are
let cell = null; // under the cross-hair
let pinned = false;
let strip = []; // ids of the neighbours, in the order of the strip

/** Show a record: first its picture, then the matches. */
export async function showComparison(inspection) {
  record = inspection;
  drawPictures();
  try {
    allMatches = matches = await get(api`/api/inspections/${record.id}/matches`);
  } catch (error) {
    show(byId("state"), sentence(`the comparison cannot be shown: ${error.message}`));
    byId("inspection").classList.add("unmatched");
    return;
  }
  for (const normal of allMatches.neighbours) normalImage(normal.id);
  strip = drawStrip(record.bank, allMatches, (normal) => compare(onlyNeighbour === normal ? null : normal));
  scrollSideways(byId("strip"), "normal images");
  release();
}

/* Pictures. */

function drawPictures() {
  const [top, left, bottom, right] = record.shown;
  document.querySelector(".pictures").style.setProperty("--shape", (right - left) / (bottom - top));
  here.shape(record);
  zoom.highest = Math.max(8, (right - left) / 150); // at the highest zoom single pixels are seen
  there.shape(record);
  keepView(zoom, record);
  const showMissing = () => byId("here").append(h("p", { class: "absent" }, "The picture is no longer stored."));
  if (!record.picture) {
    showMissing();
    drawRegions(record, here, pinAt);
    return;
  }
  picture = here.layer(
    h("img", {
      src: `/api/inspections/${record.id}/picture`,
      alt: `Inspected image ${fileName(record.name)}`,
      draggable: "false",
    }),
  );
  const heat = here.layer(
    h("img", { class: "heat", src: `/api/inspections/${record.id}/heat.png`, alt: "", draggable: "false" }),
  );
  heat.addEventListener("error", () => heat.remove()); // what says why is above the pictures
  const outlines = drawRegions(record, here, pinAt);
  picture.addEventListener("load", () => {
    draw();
    sharpen();
  });
  picture.addEventListener("error", showMissing, { once: true });
  if (record.verdict === "normal") {
    byId("always-label").hidden = false;
    byId("always").addEventListener("change", (event) => {
      heat.src = `/api/inspections/${record.id}/heat.png${event.target.checked ? "?always=1" : ""}`;
    });
  }
  const slider = byId("opacity");
  const setOpacity = (value) => {
    slider.value = value;
    heat.style.opacity = outlines.style.opacity = value / 100;
    slider.setAttribute("aria-valuetext", `${value} percent`);
    sessionStorage.setItem(HEAT, value);
    if (value > 0) sessionStorage.setItem(HEAT_ON, value);
  };
  slider.addEventListener("input", () => setOpacity(Number(slider.value)));
  bind({
    keys: ["h"],
    does: "heat on or off",
    run: () => setOpacity(slider.value === "0" ? Number(sessionStorage.getItem(HEAT_ON) ?? 100) : 0),
  });
  setOpacity(Number(sessionStorage.getItem(HEAT) ?? 100)); // the opacity stays the same from image to image
}

function normalImage(normal) {
  if (!normals.has(normal)) {
    const image = h("img", {
      src: api`/api/banks/${record.bank}/images/${normal}/preview.jpg`,
      alt: "",
      class: "away",
      draggable: "false",
    });
    image.addEventListener("load", () => draw());
    normals.set(normal, there.layer(image));
  }
  return normals.get(normal);
}

/** Draw the cross-hairs, the crops and the numbers of the current cell. */
function draw() {
  if (!matches || !cell) return;
  const place = placeOf(matches, record, cell);
  const match = matchOf(matches, cell);
  const image = normalImage(match.normal.id);
  for (const other of normals.values()) other.classList.toggle("away", other !== image);
  there.shape(match.normal);
  here.mark(place, pinned);
  there.mark(match, pinned);
  zoom.match(here.inElement(place), there.inElement(match));
  byId("there-name").textContent = fileName(match.normal.name);
  byId("there-name").title = match.normal.name;
  magnify(byId("crop-here"), picture, record, place);
  magnify(byId("crop-there"), image, match.normal, match);
  byId("unpin").hidden = !pinned;
  markMatch(match.normal.id);
  showReadout(match);
}

/* Zoom. Screens and pictures of 2048 px do not need more; who zooms in further gets the original's pixels. */

function onZoom() {
  byId("zoom-reset").textContent = `${Math.round(100 * zoom.scale)}\u00a0%`;
  byId("zoom-out").disabled = byId("zoom-reset").disabled = zoom.scale === 1;
  byId("zoom-in").disabled = zoom.scale === zoom.highest;
  countOutside();
  if (matches && cell) zoom.match(here.inElement(placeOf(matches, record, cell)), there.inElement(matchOf(matches, cell)));
  sharpen();
}

/** Say of how many regions nothing is seen. */
function countOutside() {
  const corner = (y, x) => here.inElement({ fy: y / record.height, fx: x / record.width });
  const isSeen = ({ box: [top, left, bottom, right] }) => zoom.sees(corner(top, left), corner(bottom, right));
  const outside = record.regions.filter((region) => !isSeen(region)).length;
  show(byId("outside"), outside ? `${outside} out of view` : "");
  byId("hint").hidden = outside > 0;
}

let isFull = false;
function sharpen() {
  if (isFull || !picture?.naturalWidth || picture.naturalWidth >= record.width) return;
  if (here.element.offsetWidth * devicePixelRatio <= picture.naturalWidth * here.part.width) return;
  isFull = true;
  const full = new Image();
  full.addEventListener("load", () => (picture.src = full.src));
  full.src = `/api/inspections/${record.id}/picture?full=true`;
}

/** The place under the cross-hair, as the middle of a zoom by keys. */
const aim = () => {
  if (!matches || !cell) return undefined;
  const { fx, fy } = here.inElement(placeOf(matches, record, cell));
  return [fx, fy];
};

byId("zoom-in").addEventListener("click", () => zoom.in(aim()));
byId("zoom-out").addEventListener("click", () => zoom.out());
byId("zoom-reset").addEventListener("click", () => zoom.reset());
bind(
  { keys: ["+", "="], labels: ["+", "\u2212"], does: "zoom both pictures", run: () => zoom.in(aim()) },
  { keys: ["-"], run: () => zoom.out() },
  { keys: ["w"], does: "whole pictures again", run: () => zoom.reset() },
);

/* The cross-hair: move, pin, release. */

function moveTo(newCell, pin) {
  if (!newCell) return;
  cell = newCell;
  pinned = pin;
  draw();
}

function pinAt({ fy, fx }) {
  if (!matches) return;
  moveTo(cellAt(matches, record, fy, fx), true);
  zoom.reveal(here.inElement({ fy, fx }));
  announce();
}

function release() {
  if (!matches) return;
  moveTo(mostUnusual(matches), false);
}

let frame = 0;
let pointer = null;
follow(byId("here"), {
  over(fy, fx, held) {
    if (!matches || zoom.dragged || (pinned && !held)) return;
    pointer = here.inPicture(fy, fx);
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (pointer) moveTo(cellAt(matches, record, ...pointer), false);
    });
  },
  press(fy, fx) {
    pointer = null;
    if (!matches || zoom.dragged) return;
    moveTo(cellAt(matches, record, ...here.inPicture(fy, fx)) ?? cell, true);
    announce();
  },
  leave() {
    pointer = null;
    if (!pinned) release();
  },
});

function step(rows, columns) {
  return (event) => {
    if (!matches) return false;
    const by = event.shiftKey ? 5 : 1;
    const clamp = (value, size) => Math.min(Math.max(value, 0), size - 1);
    const next = {
      row: clamp(cell.row + by * rows, matches.h),
      column: clamp(cell.column + by * columns, matches.w),
    };
    if (!counts(matches, next)) return;
    moveTo(next, true);
    zoom.reveal(here.inElement(placeOf(matches, record, cell)));
    announce();
  };
}

let announceTimer = 0;
function announce() {
  clearTimeout(announceTimer);
  announceTimer = setTimeout(() => {
    const match = matchOf(matches, cell);
    say(
      `Row ${cell.row + 1}, column ${cell.column + 1}: ${rarity(match.p)}, difference ${number(match.distance)}, match in ${fileName(match.normal.name)}`,
    );
  }, 250);
}

byId("unpin").addEventListener("click", release);
bind(
  { keys: ["ArrowLeft"], run: step(0, -1) },
  { keys: ["ArrowRight"], run: step(0, 1) },
  { keys: ["ArrowUp"], run: step(-1, 0) },
  {
    keys: ["ArrowDown"],
    run: step(1, 0),
    labels: ["\u2190", "\u2192", "\u2191", "\u2193"],
    does: "move the cross-hair; with Shift, by 5 steps",
  },
  { keys: ["Enter"], run: (event) => (event.target === byId("here") ? moveTo(cell, true) : false) },
  { keys: ["Escape"], does: "release the cross-hair", run: release },
);
addEventListener("resize", draw);

/* Comparison with one neighbour only. */

async function compare(normal) {
  if (!allMatches) return;
  const before = onlyNeighbour;
  onlyNeighbour = normal;
  markOnly(onlyNeighbour);
  try {
    const now = normal === null ? allMatches : await get(api`/api/inspections/${record.id}/matches?against=${normal}`);
    if (onlyNeighbour !== normal) return; // the person has selected another one in the meantime
    const wasPinned = pinned;
    matches = now;
    const pointed = pointer && cellAt(matches, record, ...pointer); // the pointer may rest on the picture meanwhile
    moveTo(wasPinned ? cell : (pointed ?? mostUnusual(matches)), wasPinned);
    say(
      normal === null
        ? "Comparison with all normal images"
        : `Comparison with ${fileName(now.neighbours[0].name)} only`,
    );
  } catch (error) {
    onlyNeighbour = before;
    markOnly(onlyNeighbour);
    show(byId("state"), error.message);
  }
}

byId("all").addEventListener("click", () => compare(null));
bind(
  ...[..."123456789"].map((digit) => ({
    keys: [digit],
    run: () => {
      const normal = strip[digit - 1];
      return normal ? void compare(normal) : false;
    },
  })),
  {
    keys: ["0"],
    labels: ["1", "\u2026", "9", "0"],
    does: "compare with one normal image only; 0: with all",
    run: () => void compare(null),
  },
);
