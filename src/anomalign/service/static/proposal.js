/** What an edit of the normal images would change, shown before it is made. */
import { api, post, remove } from "./api.js";
import { byId, fill, h, show } from "./dom.js";
import { count, decided, fileName, number, several, share } from "./words.js";

const dialog = byId("proposal");

/** Ask for a proposal, show it, and make the edit if it is confirmed. Resolves with the edit, or null.

    `edit` is what the service takes; `title` says what would be done, `confirm` what the button says. */
export function propose(bank, edit, { title, confirm }) {
  return new Promise((resolve) => {
    let proposal = null;
    let closed = false;
    const body = byId("proposal-body");
    const button = byId("proposal-confirm");
    const error = byId("proposal-error");
    const note = byId("proposal-note");
    const ready = (is) => (button.hidden = byId("proposal-note-part").hidden = !is);
    byId("proposal-title").textContent = title;
    show(error, "");
    ready(false);
    note.value = "";
    fill(
      body,
      h(
        "p",
        { class: "working" },
        "The latest images are inspected again, as if it were done already. This may take half a minute\u2026",
      ),
    );

    const end = (edited) => {
      if (closed) return;
      closed = true;
      button.onclick = byId("proposal-cancel").onclick = dialog.onclose = null;
      if (dialog.open) dialog.close();
      if (!edited && proposal) remove(api`/api/proposals/${proposal.id}`).catch(() => {}); // it expires by itself
      resolve(edited);
    };
    byId("proposal-cancel").onclick = () => end(null);
    dialog.onclose = () => end(null); // Escape
    button.onclick = async () => {
      button.disabled = true;
      show(error, "");
      fill(button, "Working\u2026");
      try {
        const edited = await post(api`/api/proposals/${proposal.id}/confirm`, { note: note.value.trim() });
        proposal = null;
        end(edited);
      } catch (refused) {
        show(error, refused.message);
        ready(false);
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
        ready(true);
        byId("proposal-title").focus(); // not the button: a key that was meant for something else must not confirm
      },
      (refused) => {
        fill(body);
        show(error, refused.message);
      },
    );
  });
}

/** Whether a person said that it is a defect, and the edit would call it normal: what nobody may overlook. */
const lost = (change) => change.decision === "defect" && change.after.verdict === "normal";

function table(proposal) {
  const missed = proposal.changes.filter(lost);
  const changes = [...missed, ...proposal.changes.filter((change) => !lost(change))];
  const tried = proposal.changes.length + proposal.unchanged;
  const skipped = proposal.skipped
    ? ` ${several(proposal.skipped, "older image")} could not be tried: ${proposal.skipped === 1 ? "its picture is" : "their pictures are"} no longer kept.`
    : "";
  const limit = `The threshold of the score goes from ${number(proposal.threshold_before)} to ${number(proposal.threshold_after)}.`;
  const summary = proposal.changes.length
    ? `Of the latest ${several(tried, "image")}, ${count(proposal.changes.length)} would change:`
    : tried
      ? `None of the latest ${several(tried, "image")} would change.`
      : "There is no earlier image to try it on.";
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
    missed.length
      ? h(
          "p",
          { class: "warning" },
          h("strong", {}, `${several(missed.length, "confirmed defect")} would no longer be found.`),
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
                ...["image", "decided", "now", "then", "score now", "score then"].map((text, i) =>
                  h("th", { scope: "col", class: i > 3 ? "n" : null }, text),
                ),
              ),
            ),
            h("tbody", {}, changes.map(row)),
          ),
        )
      : null,
    h("p", { class: "quiet" }, limit, skipped, " You can undo this at any time."),
  ].filter(Boolean);
}

function row({ record, name, decision, before, after }) {
  const pill = (verdict) => h("span", { class: `pill ${verdict}` }, verdict === "anomalous" ? "Anomalous" : "Normal");
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
    h("td", {}, decision ? h("span", { class: `badge ${decision}` }, decided(decision, before.verdict)) : null),
    h("td", {}, pill(before.verdict)),
    h("td", {}, pill(after.verdict)),
    h("td", { class: "n" }, number(before.image_score)),
    h("td", { class: "n" }, number(after.image_score)),
  );
}

/** Take an edit back. */
export const undoEdit = (edit) => post(api`/api/edits/${edit.id}/undo`);

/** What an edit has done, in a sentence. */
export function done(edit) {
  if (edit.kind === "add") return `Added to the normal images (version ${edit.version}).`;
  if (edit.kind === "remove")
    return `${several(edit.images.length, "normal image")} removed (version ${edit.version}).`;
  return `${share(edit.after.target_fpr)} false alarms are allowed from now on.`;
}
