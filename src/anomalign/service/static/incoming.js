/** Images from this device: chosen or dropped, also in folders. They are inspected one after the other. */
import { byId, fill, h } from "./dom.js";
import { inspect } from "./upload.js";
import { count, several } from "./words.js";

const chooser = byId("upload").querySelector("input");
const waiting = []; // {bank, file, name}
let running = false;
let total = 0;
let finished = 0;
let anomalous = 0;
const errors = [];

export const chooseFiles = () => chooser.click();

/** Accept images on this page. `onChange()` is called when a group of them was inspected. */
export function acceptFiles(onChange) {
  const take = (files) => {
    const bank = byId("upload-bank")?.value ?? JSON.parse(document.body.dataset.banks)[0];
    waiting.push(...files.map((file) => ({ bank, ...file })));
    total += files.length;
    if (running) draw();
    else if (waiting.length) inspectWaiting().then(onChange);
  };
  chooser.addEventListener("change", () => {
    take([...chooser.files].map((file) => ({ file, name: file.name })));
    chooser.value = "";
  });
  const mark = (on) => document.body.classList.toggle("dropping", on);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(event.dataTransfer?.types.includes("Files") ?? false);
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(false);
    take(await droppedFiles(event.dataTransfer));
  });
  byId("upload-close").addEventListener("click", () => {
    errors.length = 0;
    byId("upload-state").hidden = true;
    chooser.focus();
  });
}

async function inspectWaiting() {
  running = true;
  errors.length = 0;
  while (waiting.length) {
    const { bank, file, name } = waiting.shift();
    draw(`Inspecting ${count(finished + 1)} of ${count(total)}: ${name}`);
    try {
      const record = await inspect(bank, file, name, () =>
        draw(`The service is busy; ${name} is waiting for its turn.`),
      );
      if (record.verdict === "anomalous") anomalous += 1;
    } catch (error) {
      // Most errors of the service begin with the name already.
      errors.push(error.message.startsWith(`${name}:`) ? error.message : `${name}: ${error.message}`);
      if (error.status === 0) waiting.length = 0; // the others would fail, too
    }
    finished += 1;
  }
  running = false;
  draw(`${several(finished - errors.length, "image")} inspected, ${anomalous} anomalous.`);
  total = finished = anomalous = 0;
}

function draw(text = byId("upload-text").textContent) {
  byId("upload-state").hidden = false;
  byId("upload-text").textContent = text;
  const bar = byId("upload-progress");
  bar.hidden = !running;
  byId("upload-close").hidden = running;
  bar.max = total;
  bar.value = finished;
  fill(
    byId("upload-errors"),
    errors.map((error) => h("li", {}, error)),
  ).hidden = !errors.length;
}

/** Files of a drop, with names that keep their folders. Hidden files in folders are left out. */
async function droppedFiles(transfer) {
  const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length) return (await Promise.all(entries.map(filesOf))).flat();
  return [...(transfer?.files ?? [])].map((file) => ({ file, name: file.name }));
}

/** Files of an entry of a drop: of a file itself, of a folder all within it. */
export async function filesOf(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at once
    if (!part.length) break;
    children.push(...part);
  }
  const visible = children.filter((child) => !child.name.startsWith("."));
  return (await Promise.all(visible.map(filesOf))).flat();
}
