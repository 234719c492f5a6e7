/** A row that scrolls sideways. It fades where there is more, and buttons at its ends move it. */
import { h } from "./dom.js";

/** Put buttons around a row; they show only if it does not fit. */
export function scrollSideways(row, what) {
  const button = (text, by, name) =>
    h(
      "button",
      {
        type: "button",
        class: "sideways-button",
        "aria-label": name,
        onclick: () => row.scrollBy({ left: by * 0.8 * row.clientWidth }),
      },
      h("span", { "aria-hidden": "true" }, text),
    );
  const back = button("\u2039", -1, `Earlier ${what}`);
  const on = button("\u203a", 1, `Further ${what}`);
  row.before(back);
  row.after(on);
  const update = () => {
    const room = row.scrollWidth - row.clientWidth;
    back.hidden = on.hidden = room <= 1;
    back.disabled = row.scrollLeft <= 1;
    on.disabled = row.scrollLeft >= room - 1;
    row.classList.toggle("more-before", !back.disabled);
    row.classList.toggle("more-after", !on.disabled);
  };
  row.classList.add("sideways");
  row.addEventListener("scroll", update);
  new ResizeObserver(update).observe(row);
  new MutationObserver(update).observe(row, { childList: true });
  update();
}
