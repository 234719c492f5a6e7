/** One inspection: what is unusual about the image, what it was compared with, and the decision about it. */
import { api, get } from "./api.js";
import { preload, showComparison } from "./comparison.js";
import { showDecision } from "./decision.js";
import { byId, fill, h, line, show } from "./dom.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";
import { positionOf, queueAddress } from "./saved_queue.js";
import { BORDERLINE, number, sentence, shortName, unusual, verdictName, when } from "./words.js";

const id = Number(document.body.dataset.inspection);
let record = null;

async function load() {
  try {
    record = await get(api`/api/inspections/${id}`);
  } catch (error) {
    for (const name of ["verdict", "previous", "next"]) byId(name).hidden = true;
    byId("name").textContent = error.status === 404 ? "Not found" : "Not possible now";
    fill(byId("state"), sentence(error.message), " ", h("a", { href: queueAddress() }, "Back to the queue"));
    byId("back").href = queueAddress();
    return;
  }
  show(byId("state"), "");
  sessionStorage.setItem("anomalign.last", id);
  drawHeading();
  drawFacts();
  byId("inspection").hidden = false;
  const updateDecision = showDecision(record);
  listen(
    (kind, data) => {
      if (kind === "decision" && data.record === id) updateDecision(data.decision);
    },
    () =>
      get(api`/api/inspections/${id}`).then(
        ({ decision }) => updateDecision(decision),
        () => {}, // the next event brings the decision
      ),
  );
  linkNeighbours();
  await showComparison(record);
}

function drawHeading() {
  document.title = `${shortName(record.name)} \u00b7 Anomalign`;
  const pill = byId("verdict");
  pill.textContent = verdictName(record.verdict);
  pill.classList.add(record.verdict);
  if (record.borderline) pill.after(h("span", { class: "badge", title: BORDERLINE }, "borderline"));
  fill(byId("name"), shortName(record.name)).title = record.name;
  fill(
    byId("facts"),
    h("span", {}, unusual(record.p_value)),
    h("span", { class: "nowrap" }, `Score ${number(record.image_score)}, threshold ${number(record.threshold)}`),
    ...(record.basis ? [h("span", { class: "quiet" }, record.basis)] : []),
    h(
      "time",
      { class: "quiet", datetime: record.time, title: new Date(record.time).toLocaleString() },
      when(record.time),
    ),
  );
}

function drawFacts() {
  byId("more-facts").hidden = false;
  fill(
    byId("rows"),
    line("verdict", record.borderline ? `${record.verdict}, ${BORDERLINE}` : record.verdict),
    line("stages", record.course),
    line("image score", number(record.image_score)),
    line("threshold", number(record.threshold)),
    line("p-value", number(record.p_value)),
    line("stage 1 distance", number(record.retrieval_score)),
    line("stage 1 p-value", number(record.retrieval_p_value)),
    line("bank", h("a", { href: api`/banks/${record.bank}` }, `${record.bank}, version ${record.bank_version}`)),
    line("image size", `${record.width} \u00d7 ${record.height} pixels`),
    line("file", record.name),
    line("SHA-256", record.sha256),
    line(
      "downloads",
      h(
        "span",
        { class: "links" },
        ...[
          ["picture with heat", "overlay.png"],
          ["anomaly map", "map.tiff"],
          ["record", "record.json"],
        ].map(([text, file]) => h("a", { href: api`/api/inspections/${id}/` + file, download: `${id}-${file}` }, text)),
      ),
    ),
  );
}

/* The previous and the next image of the queue. */

async function linkNeighbours() {
  byId("back").href = queueAddress();
  const link = (name, to) => {
    if (to === null) return;
    byId(name).href = `/inspections/${to}`;
    byId(name).removeAttribute("aria-disabled");
  };
  try {
    const { previous, next, place, total, more } = await positionOf(id);
    link("previous", previous);
    link("next", next);
    if (place) byId("position").textContent = `${place} of ${total}${more ? "+" : ""}`;
    if (next) preload(await get(api`/api/inspections/${next}`));
  } catch {
    // without these links the page still works, and the queue is one click away
  }
}

const go = (name) => () => {
  const link = byId(name);
  if (link.href) location.assign(link.href);
};
bind(
  { keys: ["j"], does: "next image", run: go("next") },
  { keys: ["k"], does: "previous image", run: go("previous") },
  { keys: ["q"], does: "back to the queue", run: go("back") },
);

await load();
