/** The decision about an image: three keys, a note, undo. A false alarm can be added to the normal images. */
import { api, get, post, remove } from "./api.js";
import { byId, fill, h, say, show } from "./dom.js";
import { goOn, offerGoingOn } from "./go_on.js";
import { bind } from "./keys.js";
import { confirmation, propose, undoEdit } from "./proposal.js";
import { markDecided } from "./saved_queue.js";
import { decisionName, fileName, shortName, when } from "./words.js";

const HINTS = {
  anomalous: { defect: ["Defect", "the alarm is right"], false_alarm: ["False alarm", "the part is good"] },
  normal: { defect: ["Defect", "it was missed"], false_alarm: ["Good part", "nothing is wrong"] },
};

/** Show the decision panel of a record. Returns a function to call with a decision that was made elsewhere. */
export function showDecision(record) {
  const buttons = [...byId("decisions").querySelectorAll("button")];
  const note = byId("note");
  let decision = record.decision;
  let addition = null; // the edit that added this image to the normal images
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
          h("strong", {}, capitalise(decisionName(decision.kind, record.verdict))),
          ` \u00b7 ${decision.who}, ${when(decision.time)}`,
        ),
        h(
          "button",
          { type: "button", class: "quiet-button", "aria-keyshortcuts": "z", onclick: undo },
          "Undo ",
          h("kbd", {}, "Z"),
        ),
        note.value.trim() !== decision.note
          ? h(
              "button",
              { type: "button", class: "quiet-button", onclick: () => decide(decision.kind) },
              "Save the note",
            )
          : null,
      );
    }
    drawOffer();
  }

  function drawOffer() {
    const offer = byId("offer");
    offer.hidden = !(addition || decision?.kind === "false_alarm");
    if (addition) {
      fill(
        offer,
        h("p", {}, confirmation(addition)),
        h("button", { type: "button", class: "button", onclick: undoAddition }, "Remove it from the normal images"),
      );
    } else if (!offer.hidden) {
      fill(
        offer,
        h(
          "p",
          {},
          "Add it to the normal images? Images like this one will then be called normal. You see what would change before you confirm.",
        ),
        h(
          "button",
          { type: "button", class: "button strong", "aria-keyshortcuts": "a", onclick: add, disabled: !record.picture },
          "Add to normal images\u2026 ",
          h("kbd", {}, "A"),
        ),
        record.picture
          ? null
          : h("p", { class: "quiet" }, "It cannot be added, because its picture is no longer stored."),
      );
    }
  }

  /** Run one task at a time; show the message of its error in the panel. */
  async function runTask(work) {
    if (busy) return;
    busy = true;
    byId("decide").setAttribute("aria-busy", "true");
    show(byId("decision-error"), "");
    try {
      await work();
    } catch (error) {
      show(byId("decision-error"), error.message);
    }
    busy = false;
    byId("decide").removeAttribute("aria-busy");
    draw();
    const firstVisible = ["decision-error", "offer", "decided"].map(byId).find((part) => !part.hidden);
    firstVisible?.scrollIntoView({ block: "nearest" }); // on a small screen it may lie below the visible part
  }

  const decide = (kind) =>
    runTask(async () => {
      decision = await post(api`/api/inspections/${record.id}/decisions`, { kind, note: note.value.trim() });
      say(`Decided: ${decisionName(kind, record.verdict)}`);
    });

  const decideAndGoOn = async (kind) => {
    const before = decision;
    await decide(kind);
    if (decision === before) return;
    const text = `${shortName(record.name)}: ${decisionName(kind, record.verdict)}.`;
    await runTask(() => goOn(record.id, text));
  };

  const undo = () =>
    runTask(async () => {
      if (!decision) return;
      await remove(api`/api/decisions/${decision.id}`);
      decision = (await get(api`/api/inspections/${record.id}`)).decision;
      markDecided(record.id, Boolean(decision));
      say("Decision undone");
    });

  const add = () =>
    runTask(async () => {
      const name = fileName(record.name);
      const edit = await propose(
        record.bank,
        { add: record.id },
        { title: `Add ${name} to the normal images?`, confirm: "Add to normal images" },
      );
      if (!edit) return;
      addition = edit;
      say(confirmation(edit));
    });

  const undoAddition = () =>
    runTask(async () => {
      await undoEdit(addition);
      addition = null;
      say("Removed from the normal images");
    });

  for (const button of buttons) {
    const [title, hint] = HINTS[record.verdict][button.dataset.kind] ?? [];
    if (title) button.querySelector("strong").textContent = title;
    if (hint) button.querySelector("span").textContent = hint;
    button.addEventListener("click", () => decideAndGoOn(button.dataset.kind));
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
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && decision) decide(decision.kind);
  });
  bind(
    { keys: ["d"], does: HINTS[record.verdict].defect[0].toLowerCase(), run: () => void decideAndGoOn("defect") },
    { keys: ["f"], does: HINTS[record.verdict].false_alarm[0].toLowerCase(), run: () => void decideAndGoOn("false_alarm") },
    { keys: ["u"], does: "not sure", run: () => void decideAndGoOn("unsure") },
    { keys: ["n"], does: "write a note; Escape ends it", run: () => note.focus() },
    {
      keys: ["a"],
      does: "add a false alarm to the normal images",
      run: () => (decision?.kind === "false_alarm" && !addition && record.picture ? add() : false),
    },
    { keys: ["z"], does: "undo the decision", run: () => (decision ? undo() : false) },
  );
  draw();
  grow();
  offerGoingOn(record.id);

  get(api`/api/banks/${record.bank}/edits?limit=200`).then(
    ({ edits }) => {
      addition = edits.find((edit) => edit.kind === "add" && edit.record === record.id && !edit.undone) ?? null;
      draw();
    },
    () => {}, // the bank is no longer served, so nothing can be added to it
  );
  if (location.hash === "#add" && !decision) decide("false_alarm").then(add);

  return (newDecision) => {
    if (busy || JSON.stringify(newDecision) === JSON.stringify(decision)) return;
    const isEditing = note.value.trim() !== (decision?.note ?? "");
    decision = newDecision;
    if (!isEditing) note.value = newDecision?.note ?? ""; // else "Save the note" would offer the old note
    draw();
    grow();
  };
}

const capitalise = (text) => text[0].toUpperCase() + text.slice(1);
