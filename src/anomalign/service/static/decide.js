/** What a person makes of an image: three keys, a note, a way back; and from a false alarm to the normal images. */
import { api, get, post, remove } from "./api.js";
import { byId, fill, h, say, show } from "./dom.js";
import { bind } from "./keys.js";
import { done, propose, undoEdit } from "./proposal.js";
import { decided, fileName, when } from "./words.js";

const HINTS = {
  anomalous: { defect: ["Defect", "the alarm is right"], false_alarm: ["False alarm", "the part is good"] },
  normal: { defect: ["Defect", "it was missed"], false_alarm: ["Good part", "nothing is wrong"] },
};

/** Wires the panel to a record; returns a function to call when the record was changed elsewhere. */
export function decide(record) {
  const buttons = [...byId("decisions").querySelectorAll("button")];
  const note = byId("note");
  let decision = record.decision;
  let added = null; // the edit that put this image among the normals
  let busy = false;

  function draw() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(decision?.kind === button.dataset.kind));
    byId("decided").hidden = !decision;
    if (decision) {
      fill(
        byId("decided"),
        h(
          "span",
          {},
          h("strong", {}, capital(decided(decision.kind, record.verdict))),
          ` \u00b7 ${decision.who}, ${when(decision.time)}`,
        ),
        h(
          "button",
          { type: "button", class: "quiet-button", "aria-keyshortcuts": "z", onclick: undo },
          "Undo ",
          h("kbd", {}, "Z"),
        ),
        note.value.trim() !== decision.note
          ? h("button", { type: "button", class: "quiet-button", onclick: () => make(decision.kind) }, "Save the note")
          : null,
      );
    }
    offer();
  }

  function offer() {
    const place = byId("offer");
    place.hidden = !(added || decision?.kind === "false_alarm");
    if (added) {
      fill(
        place,
        h("p", {}, done(added)),
        h("button", { type: "button", class: "button", onclick: undoAdding }, "Take it out again"),
      );
    } else if (!place.hidden) {
      fill(
        place,
        h(
          "p",
          {},
          "Add it to the normal images? Then images like this one are no longer called anomalous. You see first what would change.",
        ),
        h(
          "button",
          { type: "button", class: "button strong", "aria-keyshortcuts": "a", onclick: add, disabled: !record.picture },
          "Add to normals\u2026 ",
          h("kbd", {}, "A"),
        ),
        record.picture ? null : h("p", { class: "quiet" }, "Its picture is no longer kept, so it cannot be added."),
      );
    }
  }

  async function guarded(work) {
    if (busy) return;
    busy = true;
    byId("decide").setAttribute("aria-busy", "true");
    show(byId("refused"), "");
    try {
      await work();
    } catch (error) {
      show(byId("refused"), error.message);
    }
    busy = false;
    byId("decide").removeAttribute("aria-busy");
    draw();
    const news = ["refused", "offer", "decided"].map(byId).find((part) => !part.hidden);
    news?.scrollIntoView({ block: "nearest" }); // on a small screen it may lie below the edge
  }

  const make = (kind) =>
    guarded(async () => {
      decision = await post(api`/api/inspections/${record.id}/decisions`, { kind, note: note.value.trim() });
      say(`Decided: ${decided(kind, record.verdict)}`);
    });

  const undo = () =>
    guarded(async () => {
      if (!decision) return;
      await remove(api`/api/decisions/${decision.id}`);
      decision = (await get(api`/api/inspections/${record.id}`)).decision;
      say("The decision was taken back");
    });

  const add = () =>
    guarded(async () => {
      const named = fileName(record.name);
      const edit = await propose(
        record.bank,
        { add: record.id },
        { title: `Add ${named} to the normal images?`, confirm: "Add to normals" },
      );
      if (edit) added = edit;
      if (edit) say(done(edit));
    });

  const undoAdding = () =>
    guarded(async () => {
      await undoEdit(added);
      added = null;
      say("Taken out of the normal images again");
    });

  for (const button of buttons) {
    const [title, hint] = HINTS[record.verdict][button.dataset.kind] ?? [];
    if (title) button.querySelector("strong").textContent = title;
    if (hint) button.querySelector("span").textContent = hint;
    button.addEventListener("click", () => make(button.dataset.kind));
  }
  note.value = decision?.note ?? "";
  const grow = () => {
    note.style.height = "auto";
    note.style.height = `${note.scrollHeight + 2}px`;
  };
  note.addEventListener("input", () => {
    grow();
    if (decision) draw();
  });
  note.addEventListener("keydown", (event) => {
    if (event.key === "Escape") note.blur();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && decision) make(decision.kind);
  });
  bind(
    { keys: ["d"], does: HINTS[record.verdict].defect[0].toLowerCase(), run: () => make("defect") },
    { keys: ["f"], does: HINTS[record.verdict].false_alarm[0].toLowerCase(), run: () => make("false_alarm") },
    { keys: ["u"], does: "not sure", run: () => make("unsure") },
    { keys: ["n"], does: "write a note; Escape leaves it", run: () => note.focus() },
    {
      keys: ["a"],
      does: "add to normals, after a false alarm",
      run: () => (decision?.kind === "false_alarm" && !added && record.picture ? add() : false),
    },
    { keys: ["z"], does: "undo the decision", run: () => (decision ? undo() : false) },
  );
  draw();
  grow();

  get(api`/api/banks/${record.bank}/edits?limit=200`).then(
    ({ edits }) => {
      added = edits.find((edit) => edit.kind === "add" && edit.record === record.id && !edit.undone) ?? null;
      draw();
    },
    () => {}, // of a bank that is not served any more there is nothing to add to
  );
  if (location.hash === "#add" && !decision) make("false_alarm").then(add);

  return (made) => {
    if (busy || JSON.stringify(made) === JSON.stringify(decision)) return;
    const written = note.value.trim() !== (decision?.note ?? "");
    decision = made;
    if (!written) note.value = made?.note ?? ""; // or "Save the note" would offer the old one
    draw();
    grow();
  };
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
