/** A dialog that shows what an edit of the bank would change, before the edit is made. */
import { api, post, remove } from "./api.js";
import { byId, fill, h, show } from "./dom.js";
import { count, decisionName, fileName, number, several, share, verdictName } from "./words.js";

const dialog = byId("proposal");

/** Request a proposal, show it, and make the edit if the person confirms it. Resolves with the edit, or null.

    `edit` is the body of the request, `title` the question at the top, `confirm` the text of the button. */
export function propose(bank, edit, { title, confirm }) {
  return new Promise((resolve) => {
    let proposal = null;
    let closed = false;
    const body = byId("proposal-body");
    const button = byId("proposal-confirm");
    const error = byId("proposal-error");
    const note = byId("proposal-note");
    const allowConfirm = (allow) => (button.hidden = byId("proposal-note-part").hidden = !allow);
    byId("proposal-title").textContent = title;
    show(error, "");
    allowConfirm(false);
    note.value = "";
    fill(
      body,
      h(
        "p",
        { class: "working" },
        "The latest images are inspected again to show what would change. This can take half a minute\u2026",
      ),
    );

    const end = (result) => {
      if (closed) return;
      closed = true;
      button.onclick = byId("proposal-cancel").onclick = dialog.onclose = null;
      if (dialog.open) dialog.close();
      if (!result && proposal) remove(api`/api/proposals/${proposal.id}`).catch(() => {}); // it expires by itself
      resolve(result);
    };
    byId("proposal-cancel").onclick = () => end(null);
    dialog.onclose = () => end(null); // Escape
    button.onclick = async () => {
      button.disabled = true;
      show(error, "");
      fill(button, "Working\u2026");
      try {
        const result = await post(api`/api/proposals/${proposal.id}/confirm`, { note: note.value.trim() });
        proposal = null;
        end(result);
      } catch (failure) {
        show(error, failure.message);
        allowConfirm(false);
      } finally {
        button.disabled = false;
      }
    };
    dialog.showModal();
    byId("proposal-cancel").focus();

    post(api`/api/banks/${bank}/proposals`, edit).then(
      (answer) => {
        proposal = answer;
        if (closed) {
          remove(api`/api/proposals/${answer.id}`).catch(() => {});
          return;
        }
        fill(body, ...table(answer));
        fill(button, confirm);
        allowConfirm(true);
        byId("proposal-title").focus(); // not the button: a key pressed by accident must not confirm
      },
      (failure) => {
        fill(body);
        show(error, failure.message);
      },
    );
  });
}

/** Whether the edit would call a confirmed defect normal. These come first, so that nobody overlooks them. */
const missesDefect = (change) => change.decision === "defect" && change.after.verdict === "normal";

function table(proposal) {
  const missedDefects = proposal.changes.filter(missesDefect);
  const changes = [...missedDefects, ...proposal.changes.filter((change) => !missesDefect(change))];
  const total = proposal.changes.length + proposal.unchanged;
  const skipped = proposal.skipped
    ? ` ${several(proposal.skipped, "older image")} could not be checked, because ${proposal.skipped === 1 ? "its picture is" : "their pictures are"} no longer stored.`
    : "";
  const [before, after] = [proposal.threshold_before, proposal.threshold_after].map(number);
  const threshold =
    before === after
      ? `The score threshold stays at ${after}.`
      : `The score threshold changes from ${before} to ${after}.`;
  const summary = proposal.changes.length
    ? `Of the latest ${several(total, "image")}, ${count(proposal.changes.length)} would change:`
    : total
      ? `None of the latest ${several(total, "image")} would change.`
      : "There are no earlier images to check this against.";
  const [toNormal, toAnomalous] = ["normal", "anomalous"].map(
    (verdict) => proposal.changes.filter((change) => change.after.verdict === verdict).length,
  );
  return [
    h(
      "p",
      { class: "summary" },
      h("strong", {}, summary),
      changes.length ? ` ${count(toNormal)} to normal, ${count(toAnomalous)} to anomalous.` : null,
    ),
    missedDefects.length
      ? h(
          "p",
          { class: "warning" },
          h("strong", {}, `${several(missedDefects.length, "confirmed defect")} would be missed.`),
        )
      : null,
    changes.length
      ? h(
          "div",
          { class: "changes", tabindex: 0, role: "region", "aria-label": "Images that would change" },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ...["image", "decision", "now", "after", "score now", "score after"].map((text, i) =>
                  h("th", { scope: "col", class: i > 3 ? "n" : null }, text),
                ),
              ),
            ),
            h("tbody", {}, changes.map(row)),
          ),
        )
      : null,
    h("p", { class: "quiet" }, threshold, skipped, " You can undo this at any time."),
  ].filter(Boolean);
}

function row({ record, name, decision, before, after }) {
  const pill = (verdict) => h("span", { class: `pill ${verdict}` }, verdictName(verdict));
  return h(
    "tr",
    {},
    h(
      "th",
      { scope: "row", class: "name", title: name },
      h(
        "span",
        { class: "with-thumb" },
        h("img", { src: `/api/inspections/${record}/thumbnail.jpg`, alt: "", width: 56, height: 56 }),
        fileName(name),
      ),
    ),
    h("td", {}, decision ? h("span", { class: `badge ${decision}` }, decisionName(decision, before.verdict)) : null),
    h("td", {}, pill(before.verdict)),
    h("td", {}, pill(after.verdict)),
    h("td", { class: "n" }, number(before.image_score)),
    h("td", { class: "n" }, number(after.image_score)),
  );
}

/** Undo an edit. */
export const undoEdit = (edit) => post(api`/api/edits/${edit.id}/undo`);

/** What an edit has done, in a sentence. */
export function confirmation(edit) {
  if (edit.kind === "add") return `Added to the normal images (version ${edit.version}).`;
  if (edit.kind === "remove")
    return `${several(edit.images.length, "normal image")} removed (version ${edit.version}).`;
  return `${share(edit.after.target_fpr)} false alarms are now allowed.`;
}
