/** Numbers, times, verdicts and edits in the words that people read. */

/** Four digits: 5,372, 53.72, 0.0005372. JSON has no infinity, so the service sends null for it. */
export function number(value) {
  if (value === null || value === undefined) return "infinite";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(4))).replace("-", "\u2212");
}

export const count = (n) => n.toLocaleString("en");

/** "1 image", "2 images". */
export const several = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Bytes as megabytes: "0.3", "12.5", "1,024". */
export const megabytes = (bytes) => (bytes < 1e8 ? (bytes / 1e6).toFixed(1) : count(Math.round(bytes / 1e6)));

/** As a percentage, two digits. */
export function share(value) {
  if (value >= 0.995) return "100\u00a0%";
  return `${Number((100 * value).toPrecision(2))}\u00a0%`;
}

/** A p-value as "1 in 161", or "86 of 100" where it is not small. */
export function oneIn(p) {
  if (p > 0.2) return `${Math.round(100 * p)} of 100`;
  return `1 in ${count(Math.round(Number((1 / p).toPrecision(2))))}`;
}

/** A message of the service as a sentence: with a capital letter and a full stop. */
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

/** How unusual an image is, in a sentence. */
export function unusual(p) {
  if (p > 0.2) return `${Math.round(100 * p)} of 100 normal images look this unusual`;
  return `${p > 0.05 ? "About" : "Only"} ${oneIn(p)} normal images looks this unusual`;
}

export const verdictName = (verdict) => (verdict === "anomalous" ? "Anomalous" : "Normal");

export const BORDERLINE = "borderline: close to the threshold";

export const fileName = (name) => name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1) || name;

/** A file name with its folder: "good/000.png" of "/camera/good/000.png". */
export const shortName = (name) => name.split(/[\\/]/).filter(Boolean).slice(-2).join("/") || name;

/** Local time; the date only where it is not today's. */
export function when(iso) {
  const time = new Date(iso);
  const clock = time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (time.toDateString() === new Date().toDateString()) return clock;
  const thisYear = time.getFullYear() === new Date().getFullYear();
  const date = time.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    year: thisYear ? undefined : "numeric",
  });
  return `${date}, ${clock}`;
}

/** Name of a decision. The kind "false_alarm" of an image with a normal verdict means that the part is good. */
export function decisionName(kind, verdict) {
  if (kind === "defect") return verdict === "normal" ? "missed defect" : "defect";
  if (kind === "false_alarm") return verdict === "normal" ? "good part" : "false alarm";
  return "not sure";
}

/** What an edit of the bank did. */
export function editSummary(edit) {
  if (edit.kind === "add") return edit.images.length ? `added ${imageList(edit.images)}` : "added an image";
  if (edit.kind === "remove") return `removed ${imageList(edit.images)}`;
  const { before, after } = edit;
  return `allowed false alarms: ${rate(before.target_fpr)} \u2192 ${rate(after.target_fpr)}`;
}

const rate = (value) => (typeof value === "number" ? share(value) : "default");

export function imageList(ids) {
  const firstIds = ids.slice(0, 6).join(", ");
  return `${ids.length === 1 ? "image" : "images"} ${firstIds}${ids.length > 6 ? ` and ${ids.length - 6} more` : ""}`;
}
