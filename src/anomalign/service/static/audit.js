/** Who did what: newest first. */
import { api, get, query } from "./api.js";
import { byId, h, show } from "./dom.js";
import "./keys.js";
import { edited, numbered, share } from "./words.js";

let next = null;

async function more() {
  try {
    const page = await get(`/api/audit${query({ after: next, limit: 100 })}`);
    next = page.next;
    byId("rows").append(...page.entries.map(row));
    byId("more").hidden = !next;
    show(byId("state"), byId("rows").children.length ? "" : "Nothing was done yet.");
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
    h("td", { class: "name" }, ...what(entry)),
    h("td", {}, entry.record ? h("a", { href: `/inspections/${entry.record}` }, entry.record) : null),
    h("td", { class: "nowrap" }, entry.bank ? h("a", { href: api`/banks/${entry.bank}` }, entry.bank) : null),
  );
}

/** What was done, in words; an action that has none here is told as it is. */
function what({ action, details }) {
  const quote = details.note ? h("div", { class: "quiet" }, `\u201c${details.note}\u201d`) : null;
  switch (action) {
    case "decide":
      return [`decided: ${KINDS[details.kind] ?? details.kind}`, quote];
    case "undo decision":
      return [`took back the decision: ${KINDS[details.kind] ?? details.kind}`];
    case "edit":
      return [edited({ images: [], before: {}, after: {}, ...details }), quote];
    case "rate": {
      const kept = { kind: "rate", before: { target_fpr: details.before }, after: { target_fpr: details.after } };
      return [`kept for later starts: ${edited(kept)}`];
    }
    case "undo edit":
      return [`undid a change: ${EDITS[details.kind] ?? details.kind}`];
    case "begin edit":
      return [`began to ${begun(details)}`];
    case "begin undo":
      return [`began to undo a change: ${EDITS[details.kind] ?? details.kind}`];
    case "passed over":
      return [`passed over ${details.path}`, h("div", { class: "quiet" }, details.error)];
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

function begun({ kind, images, target_fpr }) {
  if (kind === "add") return "add an image";
  if (kind === "remove") return `remove ${numbered(images)}`;
  return `allow ${share(target_fpr)} false alarms`;
}

const KINDS = { defect: "defect", false_alarm: "false alarm", unsure: "not sure" };
const EDITS = { add: "images were added", remove: "images were removed", rate: "false alarms to allow" };

byId("more").addEventListener("click", more);
await more();
