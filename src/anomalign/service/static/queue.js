/** The queue: filters, cards, and new images. */
import { get, query } from "./api.js";
import { closeUp } from "./close_up.js";
import { breakable, byId, fill, h, say, show } from "./dom.js";
import { acceptFiles, chooseFiles } from "./incoming.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";
import { filterParameters, saveQueue } from "./saved_queue.js";
import { BORDERLINE, decisionName, number, several, shortName, unusual, verdictName, when } from "./words.js";

const PAGE = 48;
const banks = JSON.parse(document.body.dataset.banks);
const form = byId("filters");
const cards = byId("cards");
let records = [];
let next = null;
let latestRequest = null; // a new one aborts it, so that an old answer never replaces a newer one

function filters() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== "" && value !== "newest"));
}

const isFiltered = () => Object.keys(filters()).some((name) => name !== "order");

function setFilters(values) {
  for (const [name, value] of values) {
    const field = form.elements[name];
    if (field) field.value = value;
  }
}

/** The picture of an inspection; of a long image first the part around its worst place. */
function pictures(record) {
  const part = closeUp(record);
  return [part, null].slice(part ? 0 : 1).map((box) =>
    h("img", {
      src: `/api/inspections/${record.id}/thumbnail.jpg` + query({ box: box?.join() }),
      alt: "",
      loading: "lazy",
      decoding: "async",
      width: 320,
      height: Math.round(box ? (320 * (box[2] - box[0])) / (box[3] - box[1]) : (320 * record.height) / record.width),
    }),
  );
}

function card(record) {
  const { decision } = record;
  return h(
    "li",
    {},
    h(
      "a",
      { class: `tile ${record.verdict}`, href: `/inspections/${record.id}`, "data-id": record.id },
      h(
        "span",
        { class: closeUp(record) ? `thumb long${record.height > record.width ? " tall" : ""}` : "thumb" },
        record.picture ? pictures(record) : h("span", { class: "quiet" }, "picture no longer stored"),
      ),
      h(
        "span",
        { class: "tile-head" },
        h("span", { class: `pill ${record.verdict}` }, verdictName(record.verdict)),
        h(
          "time",
          { class: "quiet", datetime: record.time, title: new Date(record.time).toLocaleString() },
          when(record.time),
        ),
      ),
      h("span", { class: "tile-name", title: record.name }, breakable(shortName(record.name))),
      h(
        "span",
        {
          class: "tile-p quiet",
          title: `score ${number(record.image_score)}, threshold ${number(record.threshold)}, p-value ${number(record.p_value)}`,
        },
        record.borderline ? [h("span", { class: "badge", title: BORDERLINE }, "borderline"), " "] : null,
        unusual(record.p_value),
      ),
      h(
        "span",
        { class: "tile-end" },
        decision
          ? h(
              "span",
              { class: `badge ${decision.kind}`, title: decision.note || null },
              decisionName(decision.kind, record.verdict),
            )
          : h("span", { class: "quiet" }, "not decided"),
        banks.length > 1 ? h("span", { class: "quiet tile-bank" }, record.bank) : null,
      ),
    ),
  );
}

function draw() {
  const focused = document.activeElement?.dataset?.id;
  fill(cards, records.map(card));
  if (focused) cards.querySelector(`[data-id="${focused}"]`)?.focus({ preventScroll: true });
  byId("more").hidden = !next;
  const isEmpty = !records.length && !isFiltered();
  for (const part of [form, byId("name-field")]) part.hidden = isEmpty; // there is nothing to filter
  if (isEmpty) showEmpty();
  else show(byId("state"), records.length ? "" : "No image matches these filters.");
  saveQueue(filters(), records, next);
}

function showEmpty() {
  fill(
    byId("state"),
    h("h2", {}, "No image has been inspected yet"),
    h("p", {}, "Drop images or folders anywhere on this page."),
    h("button", { type: "button", class: "button strong", onclick: chooseFiles }, "Choose images\u2026"),
    h("p", { class: "quiet" }, "A service that watches a folder shows its images here by itself."),
  ).hidden = false;
}

async function fetchPage(extra = {}) {
  latestRequest?.abort();
  latestRequest = new AbortController();
  const parameters = { ...filterParameters(filters()), limit: PAGE, ...extra };
  return get(`/api/inspections${query(parameters)}`, { signal: latestRequest.signal });
}

/** Run a task; show the message of its error on the page. */
async function showErrors(work) {
  cards.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    show(byId("state"), error.message);
  }
  cards.removeAttribute("aria-busy");
}

const load = () =>
  showErrors(async () => {
    const page = await fetchPage();
    records = page.records;
    next = page.next;
    hideNewImages();
    draw();
  });

const more = () =>
  showErrors(async () => {
    const last = cards.children.length;
    const page = await fetchPage({ after: next });
    const ids = new Set(records.map((record) => record.id));
    records = [...records, ...page.records.filter((record) => !ids.has(record.id))];
    next = page.next;
    draw();
    cards.children[last]?.firstElementChild.focus();
  });

function applyFilters() {
  history.replaceState(null, "", `/${query(filters())}`);
  byId("clear").hidden = !isFiltered();
  load();
}

let typingTimer = 0;
document.addEventListener("input", (event) => {
  if (event.target.form !== form) return; // the search field lies outside the form's element
  clearTimeout(typingTimer);
  typingTimer = setTimeout(applyFilters, event.target.type === "search" ? 300 : 0);
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(applyFilters));
byId("more").addEventListener("click", more);

/* New images. Cards never move under a pointer: unless the page is idle, new ones wait behind a button. */

const newIds = new Set();
let catchUpTimer = 0;

function hideNewImages() {
  newIds.clear();
  byId("new-images").hidden = true;
}

function isIdle() {
  return scrollY < 40 && !cards.matches(":hover, :focus-within") && document.activeElement !== form.elements.name;
}

async function catchUp() {
  catchUpTimer = 0;
  let page;
  try {
    const limit = Math.min(Math.max(records.length, PAGE), 200); // at least as many as are shown
    page = await get(`/api/inspections${query({ ...filterParameters(filters()), limit })}`);
  } catch {
    return; // the mark in the header shows that the service cannot be reached
  }
  const byNumber = new Map(page.records.map((record) => [record.id, record]));
  const ids = new Set(records.map((record) => record.id));
  const newRecords = page.records.filter((record) => !ids.has(record.id));
  if (newRecords.length === 0 || !isIdle()) {
    replace(byNumber);
    for (const record of newRecords) newIds.add(record.id);
    const button = byId("new-images");
    show(button, newIds.size ? `Show ${several(newIds.size, "new image")}` : "");
    return;
  }
  records = page.records;
  next = page.next;
  hideNewImages();
  draw();
  for (const record of newRecords) cards.querySelector(`[data-id="${record.id}"]`)?.classList.add("new");
  const anomalous = newRecords.filter((record) => record.verdict === "anomalous").length;
  say(`${several(newRecords.length, "new image")}, ${anomalous} anomalous`);
}

/** Redraw only the cards whose record has changed. */
function replace(byNumber) {
  records = records.map((record, place) => {
    const now = byNumber.get(record.id);
    if (!now || JSON.stringify(now) === JSON.stringify(record)) return record;
    const focused = cards.children[place].contains(document.activeElement);
    cards.children[place].replaceWith(card(now));
    if (focused) cards.children[place].firstElementChild.focus({ preventScroll: true });
    return now;
  });
}

byId("new-images").addEventListener("click", async () => {
  await load();
  scrollTo({ top: 0 });
  cards.querySelector("a")?.focus({ preventScroll: true });
});

listen(
  (kind) => {
    if (kind !== "bank") catchUpTimer ||= setTimeout(catchUp, 700); // one request for many events
  },
  () => (records.length ? catchUp() : load()), // without cards, the page may show an error: load it again
);

/* Keys. */

function step(by) {
  const links = [...cards.querySelectorAll("a")];
  const place = links.indexOf(document.activeElement);
  (links[place < 0 ? 0 : place + by] ?? links[place])?.focus();
}

function across() {
  const tops = [...cards.children].map((child) => child.offsetTop);
  return Math.max(1, tops.filter((top) => top === tops[0]).length);
}

const inCards = (by) => () => (cards.contains(document.activeElement) ? step(by()) : false);
bind(
  { keys: ["j"], does: "next image", run: () => step(1) },
  { keys: ["k"], does: "previous image", run: () => step(-1) },
  { keys: ["Enter"], does: "open it", run: () => false },
  { keys: ["ArrowRight"], run: inCards(() => 1) },
  { keys: ["ArrowLeft"], run: inCards(() => -1) },
  { keys: ["ArrowDown"], run: inCards(across) },
  { keys: ["ArrowUp"], run: inCards(() => -across()) },
  { keys: ["/"], does: "search by name", run: () => form.elements.name.focus() },
);

setFilters(new URLSearchParams(location.search));
byId("clear").hidden = !isFiltered();
acceptFiles(() => (catchUpTimer ||= setTimeout(catchUp)));
await load();
const last = sessionStorage.getItem("anomalign.last");
sessionStorage.removeItem("anomalign.last");
if (last) cards.querySelector(`[data-id="${last}"]`)?.focus();
