/** Images from this device: chosen or dropped, also in folders. They are inspected one after the other, until all are or
    a person stops it. */
import { byId, fill, h } from "./dom.js";
import { inspect } from "./upload.js";
import { count, megabytes, several } from "./words.js";

const chooser = byId("upload").querySelector("input");
const waiting = []; // {bank, file, name}
let run = null; // what is known of the images of which some are inspected now; null: none are

class Run {
  images = 0;
  bytes = 0; // of all files
  finished = 0;
  finishedBytes = 0;
  sentBytes = 0; // of the file that is sent now
  inspected = 0;
  anomalous = 0;
  errors = [];
  isStopped = false;
  sending = new AbortController(); // one for each file
}

export const chooseFiles = () => chooser.click();

/** Accept images on this page. `onChange()` is called when a group of them was inspected. */
export function acceptFiles(onChange) {
  const take = (files) => {
    if (!files.length) return;
    const bank = byId("upload-bank")?.value ?? JSON.parse(document.body.dataset.banks)[0];
    waiting.push(...files.map((file) => ({ bank, ...file })));
    const isFirst = !run;
    run ??= new Run();
    run.images += files.length;
    for (const { file } of files) run.bytes += file.size;
    if (isFirst) inspectWaiting().then(onChange);
    else draw();
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
  byId("upload-cancel").addEventListener("click", () => {
    stop();
    byId("upload-text").textContent = "Stopping\u2026";
    run.sending.abort();
  });
  byId("upload-close").addEventListener("click", () => {
    byId("upload-state").hidden = true;
    chooser.focus();
  });
}

/** Send no further image. */
function stop() {
  run.isStopped = true;
  waiting.length = 0;
}

async function inspectWaiting() {
  while (waiting.length) await inspectOne(waiting.shift());
  const { isStopped, inspected, images, anomalous } = run;
  const text = isStopped ? `Stopped: ${count(inspected)} of ${several(images, "image")}` : several(inspected, "image");
  const hadFocus = document.activeElement === byId("upload-cancel");
  draw(`${text} inspected, ${anomalous} anomalous.`, false);
  if (hadFocus) byId("upload-close").focus();
  run = null;
}

async function inspectOne({ bank, file, name }) {
  run.sending = new AbortController();
  draw(`Inspecting ${count(run.finished + 1)} of ${count(run.images)}: ${name}`);
  const onWait = () => draw(`The service is busy; ${name} is waiting for its turn.`);
  const onSent = (bytes) => {
    run.sentBytes = Math.min(bytes, file.size); // a form is a little longer than its file
    drawBytes();
  };
  try {
    const record = await inspect(bank, file, name, { onWait, onSent, signal: run.sending.signal });
    run.inspected += 1;
    if (record.verdict === "anomalous") run.anomalous += 1;
  } catch (error) {
    if (error.name === "AbortError") return;
    // Most errors of the service begin with the name already.
    run.errors.push(error.message.startsWith(`${name}:`) ? error.message : `${name}: ${error.message}`);
    if (error.status === 0) stop(); // the others would fail, too
  }
  run.finished += 1;
  run.finishedBytes += file.size;
  run.sentBytes = 0;
}

function draw(text = byId("upload-text").textContent, isRunning = true) {
  byId("upload-state").hidden = false;
  byId("upload-text").textContent = text;
  for (const name of ["upload-progress", "upload-bytes", "upload-cancel"]) byId(name).hidden = !isRunning;
  byId("upload-close").hidden = isRunning;
  drawBytes();
  fill(
    byId("upload-errors"),
    run.errors.map((error) => h("li", {}, error)),
  ).hidden = !run.errors.length;
}

function drawBytes() {
  const sent = run.finishedBytes + run.sentBytes;
  Object.assign(byId("upload-progress"), { max: run.bytes, value: sent });
  byId("upload-bytes").textContent = `${megabytes(sent)} of ${megabytes(run.bytes)} MB`;
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
