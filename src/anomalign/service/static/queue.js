/** The queue: filters, cards, what comes in meanwhile, images to inspect. */
import { get, query } from "./api.js";
import { breakable, byId, fill, h, say, show } from "./dom.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";
import { asked, leave } from "./trail.js";
import { inspect } from "./upload.js";
import { count, decided, fileName, number, several, unusual, when } from "./words.js";

const PAGE = 48;
const banks = JSON.parse(document.body.dataset.banks);
const form = byId("filters");
const cards = byId("cards");
let records = [];
let next = null;
let asking = null; // the latest request; an older one that comes late is dropped

function filters() {
  return Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== "" && value !== "newest"));
}

function setFilters(given) {
  for (const [name, value] of given) {
    const field = form.elements[name];
    if (field) field.value = value;
  }
}

function card(record) {
  const anomalous = record.verdict === "anomalous";
  const made = record.decision;
  return h(
    "li",
    {},
    h(
      "a",
      { class: `tile ${record.verdict}`, href: `/inspections/${record.id}`, "data-id": record.id },
      h(
        "span",
        { class: "thumb" },
        record.picture
          ? h("img", {
              src: `/api/inspections/${record.id}/thumbnail.jpg`,
              alt: "",
              loading: "lazy",
              decoding: "async",
              width: 320,
              height: Math.round((320 * record.height) / record.width),
            })
          : h("span", { class: "quiet" }, "picture no longer kept"),
      ),
      h(
        "span",
        { class: "tile-head" },
        h("span", { class: `pill ${record.verdict}` }, anomalous ? "Anomalous" : "Normal"),
        h(
          "time",
          { class: "quiet", datetime: record.time, title: new Date(record.time).toLocaleString() },
          when(record.time),
        ),
      ),
      h("span", { class: "tile-name", title: record.name }, breakable(fileName(record.name))),
      h(
        "span",
        {
          class: "tile-p quiet",
          title: `score ${number(record.image_score)}, threshold ${number(record.threshold)}, p-value ${number(record.p_value)}`,
        },
        unusual(record.p_value),
      ),
      h(
        "span",
        { class: "tile-end" },
        made
          ? h("span", { class: `badge ${made.kind}`, title: made.note || null }, decided(made.kind, record.verdict))
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
  const none = Object.keys(filters()).length
    ? "No image answers to these filters."
    : "Nothing was inspected yet. Choose images to inspect, or let a folder be watched.";
  show(byId("state"), records.length ? "" : none);
  leave(
    filters(),
    records.map((record) => record.id),
    next,
  );
}

async function ask(extra = {}) {
  asking?.abort();
  asking = new AbortController();
  return get(`/api/inspections${query({ ...asked(filters()), limit: PAGE, ...extra })}`, { signal: asking.signal });
}

async function guarded(work) {
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
  guarded(async () => {
    const page = await ask();
    records = page.records;
    next = page.next;
    forget();
    draw();
  });

const more = () =>
  guarded(async () => {
    const last = cards.children.length;
    const page = await ask({ after: next });
    const known = new Set(records.map((record) => record.id));
    records = [...records, ...page.records.filter((record) => !known.has(record.id))];
    next = page.next;
    draw();
    cards.children[last]?.firstElementChild.focus();
  });

function changed() {
  const given = filters();
  history.replaceState(null, "", `/${query(given)}`);
  byId("clear").hidden = !Object.keys(given).some((name) => name !== "order");
  load();
}

let typed = 0;
document.addEventListener("input", (event) => {
  if (event.target.form !== form) return; // the name stands outside of it
  clearTimeout(typed);
  typed = setTimeout(changed, event.target.type === "search" ? 300 : 0);
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(changed));
byId("more").addEventListener("click", more);

/* What comes in meanwhile. Cards never move under a finger: new ones wait for a touch unless the page is at rest. */

const waiting = new Set();
let due = 0;

function forget() {
  waiting.clear();
  byId("fresh").hidden = true;
}

function atRest() {
  return scrollY < 40 && !cards.matches(":hover, :focus-within") && document.activeElement !== form.elements.name;
}

async function catchUp() {
  due = 0;
  let page;
  try {
    const limit = Math.min(Math.max(records.length, PAGE), 200); // no fewer than are shown
    page = await get(`/api/inspections${query({ ...asked(filters()), limit })}`);
  } catch {
    return; // the mark in the head says that the service is away
  }
  const byNumber = new Map(page.records.map((record) => [record.id, record]));
  const known = new Set(records.map((record) => record.id));
  const coming = page.records.filter((record) => !known.has(record.id));
  if (coming.length === 0 || !atRest()) {
    replace(byNumber);
    for (const record of coming) waiting.add(record.id);
    const button = byId("fresh");
    show(button, waiting.size ? `${several(waiting.size, "new image")}: show` : "");
    return;
  }
  records = page.records;
  next = page.next;
  forget();
  draw();
  for (const record of coming) cards.querySelector(`[data-id="${record.id}"]`)?.classList.add("new");
  const anomalous = coming.filter((record) => record.verdict === "anomalous").length;
  say(`${several(coming.length, "new image")}, ${anomalous} anomalous`);
}

/** Draw anew only the cards that say something else now. */
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

byId("fresh").addEventListener("click", async () => {
  await load();
  scrollTo({ top: 0 });
  cards.querySelector("a")?.focus({ preventScroll: true });
});

listen(
  (kind) => {
    if (kind !== "bank" && !due) due = setTimeout(catchUp, 700); // many at once are one look
  },
  () => (records.length ? catchUp() : load()), // where nothing is shown an error may be
);

/* Images from this device. */

async function take(files) {
  const bank = byId("upload-bank")?.value ?? banks[0];
  const state = byId("upload-state");
  const refused = [];
  let done = 0;
  let anomalous = 0;
  for (const file of files) {
    show(state, `Inspecting ${count(done + 1)} of ${count(files.length)}: ${file.name}`);
    try {
      const record = await inspect(bank, file, () =>
        show(state, `The service is busy; ${file.name} waits for its turn.`),
      );
      if (record.verdict === "anomalous") anomalous += 1;
    } catch (error) {
      refused.push(`${file.name}: ${error.message}`);
      if (error.status === 0) break;
    }
    done += 1;
  }
  show(state, `${several(done - refused.length, "image")} inspected, ${anomalous} anomalous.`);
  if (refused.length)
    state.append(
      h(
        "ul",
        { class: "bad" },
        refused.map((text) => h("li", {}, text)),
      ),
    );
  if (!due) due = setTimeout(catchUp);
}

const chooser = byId("upload").querySelector("input");
chooser.addEventListener("change", async () => {
  const files = [...chooser.files];
  chooser.value = "";
  if (files.length) await take(files);
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length) take(files);
});

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
  { keys: ["/"], does: "look for a name", run: () => form.elements.name.focus() },
);

setFilters(new URLSearchParams(location.search));
byId("clear").hidden = !Object.keys(filters()).some((name) => name !== "order");
await load();
const last = sessionStorage.getItem("anomalign.last");
sessionStorage.removeItem("anomalign.last");
if (last) cards.querySelector(`[data-id="${last}"]`)?.focus();
