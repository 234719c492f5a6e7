/** A bank: where normal ends, the normal images, and who changed them. */
import { api, get } from "./api.js";
import { breakable, byId, fill, h, say, show } from "./dom.js";
import "./keys.js";
import { chart, told } from "./limits.js";
import { listen } from "./live.js";
import { done, propose, undoEdit } from "./proposal.js";
import { Sheet } from "./sheet.js";
import { inspect } from "./upload.js";
import { count, edited, fileName, number, several, share, when } from "./words.js";

const name = document.body.dataset.bank;
const isAdmin = document.body.dataset.role === "admin";
const me = document.body.dataset.person;
const sheet = new Sheet(name, isAdmin);
const slider = byId("rate");
let scores = null;
let shown = ""; // the state that the page shows

async function guarded(work) {
  try {
    await work();
    show(byId("state"), "");
  } catch (error) {
    show(byId("state"), error.message);
  }
}

async function load() {
  const [bank, found, versions, edits] = await Promise.all([
    get(api`/api/banks/${name}`),
    get(api`/api/banks/${name}/scores`),
    get(api`/api/banks/${name}/versions`),
    get(api`/api/banks/${name}/edits?limit=200`),
  ]);
  shown = state(bank);
  counts(bank);
  scores = found;
  slider.max = scores.rates.length - 1;
  inForce();
  changes(versions.versions, edits.edits);
}

const state = (bank) => JSON.stringify([bank.version, bank.target_fpr]);

function counts(bank) {
  const entry = (term, value, note) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, value, h("div", { class: "note" }, note)));
  fill(
    byId("counts"),
    entry("normal images", count(bank.images), `version ${bank.version}`),
    entry(
      "false alarms to allow",
      share(bank.target_fpr),
      `${share(bank.expected_fpr)} of normal images are expected to be called anomalous`,
    ),
    entry("limit of the score", number(bank.threshold), "anomalous beyond"),
    entry(
      "network",
      h("span", { class: "words" }, breakable(fileName(bank.backbone))),
      `looks at ${bank.size_px} \u00d7 ${bank.size_px} pixels`,
    ),
  );
}

/* The limit. */

const tried = () => scores.rates[Number(slider.value)];

function inForce() {
  const nearest = scores.rates.map((rate) => Math.abs(Math.log(rate.target_fpr / scores.target_fpr)));
  slider.value = nearest.indexOf(Math.min(...nearest));
  limit();
}

function limit() {
  const rate = tried();
  const words = `${share(rate.target_fpr)} of normal images`;
  byId("rate-said").textContent = words;
  slider.setAttribute("aria-valuetext", words);
  byId("limit-said").textContent = told(scores, rate);
  byId("limit-end").hidden = rate.target_fpr === scores.target_fpr;
  byId("rate-propose").hidden = !isAdmin;
  chart(byId("histogram"), scores, rate);
}

slider.addEventListener("input", limit);
byId("rate-reset").addEventListener("click", () => {
  inForce();
  slider.focus();
});
byId("rate-propose").addEventListener("click", () =>
  edit(
    { target_fpr: tried().target_fpr },
    { title: `Allow ${share(tried().target_fpr)} false alarms?`, confirm: "Put it in force" },
  ),
);

/* Edits. */

async function edit(wanted, words) {
  const made = await propose(name, wanted, words);
  if (made) await after(made);
}

async function after(made) {
  sheet.none();
  fill(
    byId("undo"),
    h("span", {}, done(made)),
    h("button", { type: "button", class: "button", onclick: () => takeBack(made) }, "Undo"),
  );
  byId("undo").hidden = false;
  await refresh();
}

const takeBack = (made) =>
  guarded(async () => {
    await undoEdit(made);
    fill(byId("undo"), h("span", {}, `Undone: ${edited(made)}.`));
    byId("undo").hidden = false;
    await refresh();
  });

const refresh = () => guarded(() => Promise.all([load(), sheet.load()]));

byId("remove").addEventListener("click", () => {
  const ids = [...sheet.chosen];
  edit({ remove: ids }, { title: `Remove ${several(ids.length, "normal image")}?`, confirm: "Remove" });
});

const chooser = byId("add").querySelector("input");
chooser.addEventListener("change", () =>
  guarded(async () => {
    const [file] = chooser.files;
    if (!file) return;
    show(byId("state"), `Inspecting ${file.name}\u2026`);
    const record = await inspect(name, file, () =>
      show(byId("state"), `The service is busy; ${file.name} waits for its turn.`),
    );
    chooser.value = "";
    show(byId("state"), "");
    await edit({ add: record.id }, { title: `Add ${file.name} to the normal images?`, confirm: "Add to normals" });
  }),
);

/** Edits by people and versions that came about otherwise, newest first. */
function changes(versions, edits) {
  const ofImages = edits.filter((made) => made.kind !== "rate");
  const known = new Set(ofImages.map((made) => made.version));
  const undoing = new Map(ofImages.filter((made) => made.undone).map((made) => [made.undone_version, made]));
  const others = versions.filter((version) => !known.has(version.version));
  const rows = [
    ...edits.map((made) => ({ time: made.time, row: editRow(made) })),
    ...others.map((version) => ({ time: version.time, row: versionRow(version, undoing.get(version.version)) })),
  ];
  rows.sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  fill(
    byId("changes"),
    rows.slice(0, 100).map(({ row }) => row),
  );
}

function editRow(made) {
  const what = [
    edited(made),
    made.record ? [" from ", h("a", { href: `/inspections/${made.record}` }, `inspection ${made.record}`)] : [],
  ].flat();
  const may = !made.undone && (isAdmin || (made.kind === "add" && made.who === me));
  return h(
    "tr",
    { class: made.undone ? "undone" : null },
    h("td", {}, made.kind === "rate" ? "" : made.version),
    h("td", {}, h("time", { datetime: made.time }, when(made.time))),
    h("td", {}, made.who),
    h("td", { class: "name" }, what, made.note ? h("span", { class: "quiet" }, ` \u201c${made.note}\u201d`) : null),
    h(
      "td",
      { class: "n" },
      made.undone
        ? h("span", { class: "quiet", title: when(made.undone_at) }, `undone by ${made.undone_by}`)
        : may
          ? h("button", { type: "button", class: "quiet-button", onclick: () => takeBack(made) }, "Undo")
          : null,
    ),
  );
}

/** A version that no edit names: made by the undoing of one, or from the command line. */
function versionRow(version, undone) {
  const parts = [
    version.added ? `${several(version.added, "image")} added` : "",
    version.removed ? `${several(version.removed, "image")} removed` : "",
  ];
  return h(
    "tr",
    {},
    h("td", {}, version.version),
    h("td", {}, h("time", { datetime: version.time }, when(version.time))),
    h("td", {}, undone?.undone_by),
    h("td", {}, undone ? `undid: ${edited(undone)}` : parts.filter(Boolean).join(", ") || "made"),
    h("td", {}),
  );
}

/** Only where something has changed: to draw the sheet anew moves it under the eyes. */
const catchUp = () =>
  guarded(async () => {
    if (state(await get(api`/api/banks/${name}`)) !== shown && !document.querySelector("dialog[open]")) await refresh();
  });

byId("add").hidden = false;
listen((kind, data) => {
  if (kind === "bank" && data.bank === name && !document.querySelector("dialog[open]")) {
    say("The normal images were changed");
    refresh();
  }
}, catchUp);
await refresh();
