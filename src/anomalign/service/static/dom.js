/** Elements made in one expression, and a few that every page has. */

/** An HTML element: `h("a", {class: "pill", href: "/", onclick: f}, "text", child)`. Null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...given(children));
  return element;
}

const given = (children) =>
  children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);

export const byId = (id) => document.getElementById(id);

/** Replace what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...given(children));
  return element;
}

/** Show an element with a text, or hide it where there is none. */
export function show(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

/** Tell those who listen rather than look. */
export function say(text) {
  const place = byId("said");
  place.textContent = place.textContent === text ? `${text}\u00a0` : text; // the same again is news, too
}

/** A name that may be broken after its parts, rather than anywhere. */
export const breakable = (name) => name.split(/(?<=[_.-])/).flatMap((part) => [part, h("wbr")]);

/** A table's row of a name and a value. */
export function line(name, value) {
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "name" }, value));
}
