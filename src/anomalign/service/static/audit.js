/** The history: who did what, newest first. */
import { api, get, query } from "./api.js";
import { byId, h, show } from "./dom.js";
import "./keys.js";
import { editSummary, imageList, share } from "./words.js";

let next = null;

async function more() {
  try {
    const page = await get(`/api/audit${query({ after: next, limit: 100 })}`);
    next = page.next;
    byId("rows").append(...page.entries.map(row));
    byId("more").hidden = !next;
    show(byId("state"), byId("rows").children.length ? "" : "There are no entries yet.");
  } catch (error) {
    show(byId("state"), error.message);
  }
}

function row(entry) {
  return h(
    "tr",
    {},
    h("td", { class: "nowrap" }, h("time", { datetime: entry.time }, new Date(entry.time).toLocaleString("en-GB"))),
    h("td", { class: "nowrap" }, entry.who),
    h("td", { class: "name" }, ...actionText(entry)),
    h("td", {}, entry.record ? h("a", { href: `/inspections/${entry.record}` }, entry.record) : null),
    h("td", { class: "nowrap" }, entry.bank ? h("a", { href: api`/banks/${entry.bank}` }, entry.bank) : null),
  );
}

/** An action in words; one without words here is shown as it is stored. */
function actionText({ action, details }) {
  const quote = details.note ? h("div", { class: "quiet" }, `\u201c${details.note}\u201d`) : null;
  switch (action) {
    case "decide":
      return [`decided: ${KINDS[details.kind] ?? details.kind}`, quote];
    case "undo decision":
      return [`undid the decision: ${KINDS[details.kind] ?? details.kind}`];
    case "edit":
      return [editSummary({ images: [], before: {}, after: {}, ...details }), quote];
    case "rate": {
      const edit = { kind: "rate", before: { target_fpr: details.before }, after: { target_fpr: details.after } };
      return [`saved for the next start: ${editSummary(edit)}`];
    }
    case "undo edit":
      return [`undid a change: ${EDITS[details.kind] ?? details.kind}`];
    case "begin edit":
      return [`started to ${startText(details)}`];
    case "begin undo":
      return [`started to undo a change: ${EDITS[details.kind] ?? details.kind}`];
    case "passed over":
      return [`skipped ${details.path}`, h("div", { class: "quiet" }, details.error)];
    case "login":
      return ["signed in", h("div", { class: "quiet" }, `from ${details.address}`)];
    default:
      return [
        action,
        h(
          "div",
          { class: "quiet" },
          Object.entries(details)
            .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
            .join(", "),
        ),
      ];
  }
}

function startText({ kind, images, target_fpr }) {
  if (kind === "add") return "add an image";
  if (kind === "remove") return `remove ${imageList(images)}`;
  return `allow ${share(target_fpr)} false alarms`;
}

const KINDS = { defect: "defect", false_alarm: "false alarm", unsure: "not sure" };
const EDITS = { add: "images were added", remove: "images were removed", rate: "allowed false alarms" };

byId("more").addEventListener("click", more);
await more();
