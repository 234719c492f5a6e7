/** What an edit of the normal images would change, shown before it is made. */
import { api, post, remove } from "./api.js";
import { byId, fill, h, show } from "./dom.js";
import { count, fileName, number, several, share } from "./words.js";

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
    byId("proposal-title").textContent = title;
    show(error, "");
    button.hidden = true;
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
        const edited = await post(api`/api/proposals/${proposal.id}/confirm`);
        proposal = null;
        end(edited);
      } catch (refused) {
        show(error, refused.message);
        button.hidden = true;
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
        button.hidden = false;
        byId("proposal-title").focus(); // not the button: a key that was meant for something else must not confirm
      },
      (refused) => {
        fill(body);
        show(error, refused.message);
      },
    );
  });
}

function table(proposal) {
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
      proposal.changes.length ? ` ${count(toNormal)} to normal, ${count(toAnomalous)} to anomalous.` : null,
    ),
    proposal.changes.length
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
                ...["image", "now", "then", "score now", "score then"].map((text, i) =>
                  h("th", { scope: "col", class: i > 2 ? "n" : null }, text),
                ),
              ),
            ),
            h("tbody", {}, proposal.changes.map(row)),
          ),
        )
      : null,
    h("p", { class: "quiet" }, limit, skipped, " You can undo this at any time."),
  ].filter(Boolean);
}

function row({ record, name, before, after }) {
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
