/** Two pictures side by side: a place in the inspected image, and its match in a normal image. */
import { api, get } from "./api.js";
import { LONG } from "./close_up.js";
import { cropOf, magnify } from "./crops.js";
import { byId, h, say, show } from "./dom.js";
import { keepView } from "./kept_view.js";
import { bind } from "./keys.js";
import { cellAt, counts, matchOf, mostUnusual, placeOf } from "./matches.js";
import { drawStrip, markMatch, markOnly } from "./neighbours.js";
import { Detail, Photograph, pieceFor } from "./pieces.js";
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
const normals = new Map(); // id of a normal image -> the picture of all of it
let record = null;
let allMatches = null; // with all neighbours
let matches = null; // the ones shown: `allMatches`, or those with one neighbour only
let picture = null; // of the inspected image, all of it
let onlyNeighbour = null; // id of the only neighbour that is compared with; null: all are
const details = {
  here: new Detail(draw, (piece, under) => here.place(piece, under)),
  there: new Detail(draw, (piece, under) => there.place(piece, under)),
  cropHere: new Detail(draw),
  cropThere: new Detail(draw),
};
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
  allMatches.neighbours.forEach(normalPicture);
  strip = drawStrip(record, allMatches, (normal) => compare(onlyNeighbour === normal ? null : normal));
  scrollSideways(byId("strip"), "normal images");
  release();
}

/* Pictures. */

function drawPictures() {
  const [top, left, bottom, right] = record.shown;
  const shape = (right - left) / (bottom - top);
  const pictures = document.querySelector(".pictures");
  pictures.style.setProperty("--shape", shape);
  pictures.classList.toggle("stacked", shape >= LONG); // one above the other
  here.shape(record);
  zoom.highest = Math.max(8, Math.max(right - left, bottom - top) / 150); // at the highest zoom single pixels are seen
  there.shape(record);
  keepView(zoom, record, zoom.startAt(worstPlace(), right - left));
  const showMissing = () => byId("here").append(h("p", { class: "absent" }, "The picture is no longer stored."));
  if (!record.picture) {
    showMissing();
    drawRegions(record, here, pinAt);
    return;
  }
  picture = here.place(inspectedPicture(record, { alt: `Inspected image ${fileName(record.name)}` }));
  const heat = here.layer(
    h("img", { class: "heat", src: `/api/inspections/${record.id}/heat.png`, alt: "", draggable: "false" }),
  );
  heat.addEventListener("error", () => heat.remove()); // what says why is above the pictures
  const outlines = drawRegions(record, here, pinAt);
  picture.image.addEventListener("load", () => {
    draw();
    sharpen(); // also where nothing is compared
  });
  picture.image.addEventListener("error", showMissing, { once: true });
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

/** The middle of the worst region, in the element; of the picture where there is none. */
function worstPlace() {
  const [worst] = record.regions;
  if (!worst) return { fy: 0.5, fx: 0.5 };
  return here.inElement({ fy: (worst.peak[0] + 0.5) / record.height, fx: (worst.peak[1] + 0.5) / record.width });
}

const inspectedPicture = (inspection, attributes) =>
  pieceFor(new Photograph(api`/api/inspections/${inspection.id}/picture`, inspection), frameSize(here), attributes);

const frameSize = ({ element: { parentElement } }) => [parentElement.clientWidth, parentElement.clientHeight];

/** Load the picture of an inspection that is likely to be shown next. */
export function preload(inspection) {
  if (inspection.picture) inspectedPicture(inspection);
}

function normalPicture(normal) {
  if (!normals.has(normal.id)) {
    const isThere = !record.neighbours.some(({ id, gone }) => id === normal.id && gone);
    const address = api`/api/banks/${record.bank}/images/${normal.id}/picture`;
    const piece = pieceFor(new Photograph(address, normal, isThere), frameSize(there), { class: "away" });
    piece.image.addEventListener("load", () => draw());
    normals.set(normal.id, there.place(piece));
  }
  return normals.get(normal.id);
}

/** Draw the cross-hairs, the crops and the numbers of the current cell. */
function draw() {
  if (!matches || !cell) return;
  const place = placeOf(matches, record, cell);
  const match = matchOf(matches, cell);
  const normal = normalPicture(match.normal);
  for (const other of normals.values()) other.image.classList.toggle("away", other !== normal);
  there.shape(match.normal);
  here.mark(place, pinned);
  there.mark(match, pinned);
  zoom.match(here.inElement(place), there.inElement(match));
  sharpen();
  byId("there-name").textContent = fileName(match.normal.name);
  byId("there-name").title = match.normal.name;
  byId("there-preview").hidden = !isCoarse([normal, details.there.piece]);
  if (picture) drawCrop(byId("crop-here"), [picture, details.here.piece], details.cropHere, record, place);
  drawCrop(byId("crop-there"), [normal, details.there.piece], details.cropThere, match.normal, match);
  byId("unpin").hidden = !pinned;
  markMatch(match.normal.id);
  showReadout(match);
}

/** Whether more pixels of what is seen could be shown, if the service had them. */
const isCoarse = ([whole, seen]) => (seen?.photograph === whole.photograph ? seen : whole).isCoarse;

function drawCrop(canvas, [whole, seen], detail, photograph, place) {
  const side = canvas.clientWidth;
  if (side) detail.look(whole, cropOf(photograph, place), [side, side]);
  magnify(canvas, [whole, seen?.photograph === whole.photograph ? seen : null, detail.piece], photograph, place);
}

/* Zoom. Who zooms in gets more pixels of the part that is seen. */

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

function sharpen() {
  if (picture) lookAt(details.here, here, picture);
  if (matches && cell) lookAt(details.there, there, normalPicture(matchOf(matches, cell).normal));
}

function lookAt(detail, viewer, whole) {
  const { box, size } = viewer.seen(whole.photograph);
  if (Math.min(...size) > 0) detail.look(whole, box, size);
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
