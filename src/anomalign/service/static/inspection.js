/** One image: what is unusual about it, what it was compared with, and what people say of it. */
import { api, get } from "./api.js";
import { decide } from "./decide.js";
import { byId, fill, h, line, show } from "./dom.js";
import { bind } from "./keys.js";
import { listen } from "./live.js";
import { look } from "./looking.js";
import { around, wayBack } from "./trail.js";
import { fileName, number, unusual, when } from "./words.js";

const id = Number(document.body.dataset.inspection);
let record = null;

async function load() {
  try {
    record = await get(api`/api/inspections/${id}`);
  } catch (error) {
    show(byId("state"), error.message);
    return;
  }
  show(byId("state"), "");
  sessionStorage.setItem("anomalign.last", id);
  head();
  rows();
  byId("inspection").hidden = false;
  const learnt = decide(record);
  listen(
    (kind, data) => {
      if (kind === "decision" && data.record === id) learnt(data.decision);
    },
    () =>
      get(api`/api/inspections/${id}`).then(
        ({ decision }) => learnt(decision),
        () => {}, // the next decision is heard of
      ),
  );
  walk();
  await look(record);
}

function head() {
  document.title = `${fileName(record.name)} \u00b7 Anomalign`;
  const pill = byId("verdict");
  pill.textContent = record.verdict === "anomalous" ? "Anomalous" : "Normal";
  pill.classList.add(record.verdict);
  fill(byId("name"), fileName(record.name)).title = record.name;
  fill(
    byId("facts"),
    h("span", {}, unusual(record.p_value)),
    h(
      "time",
      { class: "quiet", datetime: record.time, title: new Date(record.time).toLocaleString() },
      when(record.time),
    ),
  );
}

function rows() {
  byId("more-facts").hidden = false;
  fill(
    byId("rows"),
    line("verdict", record.course),
    line(
      "score",
      `${number(record.image_score)}, p-value ${number(record.p_value)}; the limit is ${number(record.threshold)}`,
    ),
    line("image as a whole", `distance ${number(record.retrieval_score)}, p-value ${number(record.retrieval_p_value)}`),
    line(
      "normal images",
      h("a", { href: api`/banks/${record.bank}` }, `${record.bank}, version ${record.bank_version}`),
    ),
    line("size", `${record.width} \u00d7 ${record.height}`),
    line("file", record.name),
    line("sha256", record.sha256),
    line(
      "files",
      h(
        "span",
        { class: "links" },
        ...[
          ["picture with heat", "overlay.png"],
          ["map of scores", "map.tiff"],
          ["record", "record.json"],
        ].map(([text, file]) => h("a", { href: api`/api/inspections/${id}/` + file, download: `${id}-${file}` }, text)),
      ),
    ),
  );
}

/* Before and after in the queue. */

async function walk() {
  byId("back").href = wayBack();
  const lead = (name, to) => {
    const link = byId(name);
    if (to === null) return;
    link.href = `/inspections/${to}`;
    link.removeAttribute("aria-disabled");
  };
  try {
    const { previous, next, place, total, more } = await around(id);
    lead("previous", previous);
    lead("next", next);
    if (place) byId("position").textContent = `${place} of ${total}${more ? "+" : ""}`;
    if (next) new Image().src = `/api/inspections/${next}/picture`;
  } catch {
    // the queue can be opened by hand
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
