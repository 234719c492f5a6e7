/** Functions that make and find elements. */

/** An HTML element: `h("a", {class: "pill", href: "/", onclick: f}, "text", child)`. Null and false are skipped. */
export function h(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) =>
  children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);

export const byId = (id) => document.getElementById(id);

/** Replace the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Show an element with a text; without a text, hide it. */
export function show(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

/** Announce a text to screen readers. */
export function say(text) {
  const place = byId("announcement");
  // A screen reader stays silent when the text does not change.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}

/** A file name that can wrap after "_", "." and "-". */
export const breakable = (name) => name.split(/(?<=[_.-])/).flatMap((part) => [part, h("wbr")]);

/** A table row with a name and a value. */
export function line(name, value) {
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "name" }, value));
}
