/** Two pictures side by side: a place of the inspected image, and the place it was matched with. */
import { api, get } from "./api.js";
import { magnify } from "./crops.js";
import { byId, h, say, show } from "./dom.js";
import { bind } from "./keys.js";
import { cellAt, matchOf, mostUnusual, placeOf } from "./matches.js";
import { chosen, found, strip } from "./neighbours.js";
import { rarity, tell } from "./readout.js";
import { follow, Stage } from "./stage.js";
import { fileName, number } from "./words.js";

const HEAT = "anomalign.heat";
const HEAT_ON = "anomalign.heat-on"; // what "h" goes back to

const here = new Stage(byId("here"));
const there = new Stage(byId("there"));
const normals = new Map(); // id of a normal image -> its <img>
let record = null;
let whole = null; // matches with all neighbours
let matches = null; // those that are shown: the whole, or with one neighbour alone
let picture = null; // <img> of the inspected image
let alone = null; // id of the neighbour that is compared with alone
let cell = null; // under the cross-hair
let pinned = false;

/** Show a record: its picture first, then what it was matched with. */
export async function look(inspection) {
  record = inspection;
  pictures();
  try {
    whole = matches = await get(api`/api/inspections/${record.id}/matches`);
  } catch (error) {
    show(byId("state"), `What it was matched with cannot be shown: ${error.message}`);
    byId("inspection").classList.add("unmatched");
    return;
  }
  for (const normal of whole.neighbours) normalImage(normal.id);
  strip(record.bank, whole, (normal) => compare(alone === normal ? null : normal));
  letGo();
}

/* Pictures. */

function pictures() {
  document.querySelector(".pictures").style.setProperty("--shape", record.width / record.height);
  here.shape(record.height, record.width);
  there.shape(record.height, record.width);
  const absent = () => byId("here").append(h("p", { class: "absent" }, "The picture is no longer kept."));
  if (!record.picture) {
    absent();
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
  picture.addEventListener("load", () => draw());
  picture.addEventListener("error", absent, { once: true });
  if (record.verdict === "normal") {
    byId("always-label").hidden = false;
    byId("always").addEventListener("change", (event) => {
      heat.src = `/api/inspections/${record.id}/heat.png${event.target.checked ? "?always=1" : ""}`;
    });
  }
  const slider = byId("opacity");
  const fade = (value) => {
    slider.value = value;
    heat.style.opacity = value / 100;
    slider.setAttribute("aria-valuetext", `${value} percent`);
    sessionStorage.setItem(HEAT, value);
    if (value > 0) sessionStorage.setItem(HEAT_ON, value);
  };
  slider.addEventListener("input", () => fade(Number(slider.value)));
  bind({
    keys: ["h"],
    does: "heat on or off",
    run: () => fade(slider.value === "0" ? Number(sessionStorage.getItem(HEAT_ON) ?? 100) : 0),
  });
  fade(Number(sessionStorage.getItem(HEAT) ?? 100)); // as on the image before
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

/** The cross-hairs, the crops and what is told, all of the cell that is looked at. */
function draw() {
  if (!matches || !cell) return;
  const place = placeOf(matches, record, cell);
  const match = matchOf(matches, cell);
  const image = normalImage(match.normal.id);
  for (const other of normals.values()) other.classList.toggle("away", other !== image);
  there.shape(match.normal.height, match.normal.width);
  here.mark(place, pinned);
  there.mark(match, pinned);
  byId("there-name").textContent = fileName(match.normal.name);
  byId("there-name").title = match.normal.name;
  magnify(byId("crop-here"), picture, record, place);
  magnify(byId("crop-there"), image, match.normal, match);
  byId("unpin").hidden = !pinned;
  found(match.normal.id);
  tell(match);
}

/* Moving, pinning. */

function put(at, pin) {
  if (!at) return;
  cell = at;
  pinned = pin;
  draw();
}

function letGo() {
  if (!matches) return;
  put(mostUnusual(matches), false);
}

let frame = 0;
let pointer = null;
follow(byId("here"), {
  over(fy, fx, held) {
    if (!matches || (pinned && !held)) return;
    pointer = [fy, fx];
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (pointer) put(cellAt(matches, record, ...pointer), false);
    });
  },
  press(fy, fx) {
    pointer = null;
    if (!matches) return;
    const at = cellAt(matches, record, fy, fx);
    put(at ?? cell, true);
    heard();
  },
  gone() {
    pointer = null;
    if (!pinned) letGo();
  },
});

function step(rows, columns) {
  return (event) => {
    if (!matches) return false;
    const by = event.shiftKey ? 5 : 1;
    const limit = (value, most) => Math.min(Math.max(value, 0), most - 1);
    put({ row: limit(cell.row + by * rows, matches.h), column: limit(cell.column + by * columns, matches.w) }, true);
    heard();
  };
}

let telling = 0;
function heard() {
  clearTimeout(telling);
  telling = setTimeout(() => {
    const match = matchOf(matches, cell);
    say(
      `Row ${cell.row + 1}, column ${cell.column + 1}: ${rarity(match.p)}, difference ${number(match.distance)}, matched in ${fileName(match.normal.name)}`,
    );
  }, 250);
}

byId("unpin").addEventListener("click", letGo);
bind(
  { keys: ["ArrowLeft"], run: step(0, -1) },
  { keys: ["ArrowRight"], run: step(0, 1) },
  { keys: ["ArrowUp"], run: step(-1, 0) },
  {
    keys: ["ArrowDown"],
    run: step(1, 0),
    shown: ["\u2190", "\u2192", "\u2191", "\u2193"],
    does: "move the cross-hair; farther with Shift",
  },
  { keys: ["Enter"], run: (event) => (event.target === byId("here") ? put(cell, true) : false) },
  { keys: ["Escape"], does: "let the cross-hair go", run: letGo },
);
addEventListener("resize", draw);

/* One neighbour alone. */

async function compare(normal) {
  if (!whole) return;
  const before = alone;
  alone = normal;
  chosen(alone);
  try {
    const now = normal === null ? whole : await get(api`/api/inspections/${record.id}/matches?against=${normal}`);
    if (alone !== normal) return; // another was chosen meanwhile
    const wasPinned = pinned;
    matches = now;
    put(wasPinned ? cell : mostUnusual(matches), wasPinned);
    say(
      normal === null
        ? "Compared with all neighbours again"
        : `Compared with ${fileName(now.neighbours[0].name)} alone`,
    );
  } catch (error) {
    alone = before;
    chosen(alone);
    show(byId("state"), error.message);
  }
}

byId("all").addEventListener("click", () => compare(null));
bind(
  ...[..."123456789"].map((digit) => ({
    keys: [digit],
    run: () => {
      const normal = whole?.neighbours[digit - 1];
      return normal ? void compare(normal.id) : false;
    },
  })),
  {
    keys: ["0"],
    shown: ["1", "\u2026", "9", "0"],
    does: "compare with one neighbour alone; 0: all again",
    run: () => void compare(null),
  },
);
