/** A bank: its threshold, its normal images, and who changed them. */
import { api, get } from "./api.js";
import { CheckCard } from "./check.js";
import { breakable, byId, fill, h, say, show } from "./dom.js";
import "./keys.js";
import { listen } from "./live.js";
import { confirmation, propose, undoEdit } from "./proposal.js";
import { RegionCard } from "./region.js";
import { Sheet } from "./sheet.js";
import { changeSummary, chart } from "./thresholds.js";
import { inspect } from "./upload.js";
import { count, editSummary, fileName, number, several, share, when } from "./words.js";

const name = document.body.dataset.bank;
const isAdmin = document.body.dataset.role === "admin";
const me = document.body.dataset.person;
const sheet = new Sheet(name, isAdmin);
const check = new CheckCard(name);
const region = new RegionCard(name);
const slider = byId("rate");
slider.disabled = true; // until there are scores
let scores = null;
let drawnState = ""; // the state of the bank that the page shows

/** Run a task; show the message of its error on the page. */
async function showErrors(work) {
  try {
    await work();
    show(byId("state"), "");
  } catch (error) {
    show(byId("state"), error.message);
  }
}

async function load() {
  const [bank, calibration, versions, edits] = await Promise.all([
    get(api`/api/banks/${name}`),
    get(api`/api/banks/${name}/scores`),
    get(api`/api/banks/${name}/versions`),
    get(api`/api/banks/${name}/edits?limit=200`),
  ]);
  drawnState = state(bank);
  counts(bank);
  scores = calibration;
  slider.max = scores.rates.length - 1;
  slider.disabled = false;
  selectCurrentRate();
  changes(versions.versions, edits.edits);
  await region.load(bank);
}

const state = (bank) => JSON.stringify([bank.version, bank.target_fpr]);

function counts(bank) {
  const entry = (term, value, note) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, value, h("div", { class: "note" }, note)));
  fill(
    byId("counts"),
    entry("normal images", count(bank.images), [`version ${bank.version}`, bank.basis].filter(Boolean).join("; ")),
    entry("allowed false alarms", share(bank.target_fpr), `expected: ${share(bank.expected_fpr)} of normal images, at most ${share(bank.highest_fpr)}`),
    entry("score threshold", number(bank.threshold), "higher scores are anomalous"),
    entry(
      "backbone",
      h("span", { class: "words" }, breakable(fileName(bank.backbone))),
      `sees ${[bank.size_px, bank.size_px].flat().slice(0, 2).join(" \u00d7 ")} pixels`,
    ),
  );
}

/* The threshold. */

const selectedRate = () => scores.rates[Number(slider.value)];

function selectCurrentRate() {
  const nearest = scores.rates.map((rate) => Math.abs(Math.log(rate.target_fpr / scores.target_fpr)));
  slider.value = nearest.indexOf(Math.min(...nearest));
  drawRate();
}

function drawRate() {
  const rate = selectedRate();
  const words = `${share(rate.target_fpr)} of normal images`;
  byId("rate-text").textContent = words;
  slider.setAttribute("aria-valuetext", words);
  byId("rate-changes").textContent = changeSummary(scores, rate);
  byId("rate-buttons").hidden = rate.target_fpr === scores.target_fpr;
  byId("rate-propose").hidden = !isAdmin;
  chart(byId("histogram"), scores, rate);
}

slider.addEventListener("input", drawRate);
byId("rate-reset").addEventListener("click", () => {
  selectCurrentRate();
  slider.focus();
});
byId("rate-propose").addEventListener("click", () =>
  proposeEdit(
    { target_fpr: selectedRate().target_fpr },
    { title: `Allow ${share(selectedRate().target_fpr)} false alarms?`, confirm: "Use this setting" },
  ),
);

/* Edits. */

async function proposeEdit(request, words) {
  const edit = await propose(name, request, words);
  if (edit) await showUndo(edit);
}

async function showUndo(edit) {
  sheet.clearSelection();
  fill(
    byId("undo"),
    h("span", {}, confirmation(edit)),
    h("button", { type: "button", class: "button", onclick: () => undo(edit) }, "Undo"),
  );
  byId("undo").hidden = false;
  await refresh();
}

const undo = (edit) =>
  showErrors(async () => {
    await undoEdit(edit);
    fill(byId("undo"), h("span", {}, `Undone: ${editSummary(edit)}.`));
    byId("undo").hidden = false;
    await refresh();
  });

const refresh = () => showErrors(() => Promise.all([load(), sheet.load(), check.load()]));

byId("remove").addEventListener("click", () => {
  const ids = [...sheet.selectedIds];
  proposeEdit({ remove: ids }, { title: `Remove ${several(ids.length, "normal image")}?`, confirm: "Remove" });
});

const chooser = byId("add").querySelector("input");
chooser.addEventListener("change", () =>
  showErrors(async () => {
    const [file] = chooser.files;
    if (!file) return;
    show(byId("state"), `Inspecting ${file.name}\u2026`);
    const onWait = () => show(byId("state"), `The service is busy; ${file.name} is waiting for its turn.`);
    const record = await inspect(name, file, file.name, { onWait });
    chooser.value = "";
    show(byId("state"), "");
    await proposeEdit(
      { add: record.id },
      { title: `Add ${file.name} to the normal images?`, confirm: "Add to normal images" },
    );
  }),
);

/** Edits by people and all other versions, newest first. */
function changes(versions, edits) {
  const imageEdits = edits.filter((edit) => edit.kind !== "rate");
  const versionsOfEdits = new Set(imageEdits.map((edit) => edit.version));
  const editOfUndo = new Map(imageEdits.filter((edit) => edit.undone).map((edit) => [edit.undone_version, edit]));
  const others = versions.filter((version) => !versionsOfEdits.has(version.version));
  const rows = [
    ...edits.map((edit) => ({ time: edit.time, row: editRow(edit) })),
    ...others.map((version) => ({ time: version.time, row: versionRow(version, editOfUndo.get(version.version)) })),
  ];
  rows.sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  fill(
    byId("changes"),
    rows.slice(0, 100).map(({ row }) => row),
  );
}

function editRow(edit) {
  const what = [
    editSummary(edit),
    edit.record ? [" from ", h("a", { href: `/inspections/${edit.record}` }, `inspection ${edit.record}`)] : [],
  ].flat();
  const canUndo = !edit.undone && (isAdmin || (edit.kind === "add" && edit.who === me));
  return h(
    "tr",
    { class: edit.undone ? "undone" : null },
    h("td", {}, edit.kind === "rate" ? "" : edit.version),
    h("td", {}, h("time", { datetime: edit.time }, when(edit.time))),
    h("td", {}, edit.who),
    h("td", { class: "name" }, what, edit.note ? h("span", { class: "quiet" }, ` \u201c${edit.note}\u201d`) : null),
    h(
      "td",
      { class: "n" },
      edit.undone
        ? h("span", { class: "quiet", title: when(edit.undone_at) }, `undone by ${edit.undone_by}`)
        : canUndo
          ? h("button", { type: "button", class: "quiet-button", onclick: () => undo(edit) }, "Undo")
          : null,
    ),
  );
}

/** A version without an edit of its own: from an undo (of `undoneEdit`), or from the command line. */
function versionRow(version, undoneEdit) {
  const parts = [
    version.added ? `${several(version.added, "image")} added` : "",
    version.removed ? `${several(version.removed, "image")} removed` : "",
    version.regrouped ? `${several(version.regrouped, "image")} regrouped` : "",
  ];
  return h(
    "tr",
    {},
    h("td", {}, version.first === version.version ? version.version : `${version.first}\u2013${version.version}`),
    h("td", {}, h("time", { datetime: version.time }, when(version.time))),
    h("td", {}, undoneEdit?.undone_by),
    h("td", {}, undoneEdit ? `undid: ${editSummary(undoneEdit)}` : parts.filter(Boolean).join(", ") || "created"),
    h("td", {}),
  );
}

/** Redraw only after a change, because the contact sheet jumps when it is drawn again. */
const catchUp = () =>
  showErrors(async () => {
    if (state(await get(api`/api/banks/${name}`)) !== drawnState && !document.querySelector("dialog[open]"))
      await refresh();
  });

byId("add").hidden = false;
listen((kind, data) => {
  if (kind === "bank" && data.bank === name && !document.querySelector("dialog[open]")) {
    say("The normal images have changed");
    refresh();
  }
}, catchUp);
await refresh();
