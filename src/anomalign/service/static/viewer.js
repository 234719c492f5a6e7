/** A picture with a cross-hair that follows a pointer. */
import { h, s } from "./dom.js";

const LONG = 40000; // pixels; longer than any picture on a screen, also with zoom

/** A stack of image layers in an element, under a cross-hair. */
export class Viewer {
  constructor(element) {
    this.element = element;
    this.layers = h("div", { class: "layers" });
    this.part = { top: 0, left: 0, height: 1, width: 1 }; // what is shown of the picture, as fractions of it
    this.hair = s("svg", { overflow: "visible" }, ...this.#lines("under"), ...this.#lines("line"));
    this.drawing = s("svg", { class: "hair", "aria-hidden": "true" }, this.hair);
    element.replaceChildren(this.layers, this.drawing);
    this.mark(null);
  }

  #lines(name) {
    const line = (x1, y1, x2, y2) => s("line", { class: name, x1, y1, x2, y2 });
    return [
      line(-LONG, 0, -16, 0),
      line(16, 0, LONG, 0),
      line(0, -LONG, 0, -16),
      line(0, 16, 0, LONG),
      s("circle", { class: name, r: 16 }),
    ];
  }

  /** Show the part of a picture that it names, in the part's proportions. */
  shape({ height, width, shown: [top, left, bottom, right] }) {
    const proportion = (right - left) / (bottom - top);
    this.element.style.aspectRatio = `${right - left} / ${bottom - top}`;
    this.element.style.setProperty("--proportion", proportion);
    const part = {
      top: top / height,
      left: left / width,
      height: (bottom - top) / height,
      width: (right - left) / width,
    };
    this.part = part;
    Object.assign(this.layers.style, {
      top: `${(-100 * part.top) / part.height}%`,
      left: `${(-100 * part.left) / part.width}%`,
      height: `${100 / part.height}%`,
      width: `${100 / part.width}%`,
    });
  }

  /** A place of the element, as fractions of it, as a place of the picture. */
  inPicture(fy, fx) {
    const { top, left, height, width } = this.part;
    return [top + fy * height, left + fx * width];
  }

  /** A place of the picture, as fractions of it, as a place of the element. */
  inElement({ fy, fx }) {
    const { top, left, height, width } = this.part;
    return { fy: (fy - top) / height, fx: (fx - left) / width };
  }

  /** Add a layer on top. */
  layer(element) {
    this.layers.append(element);
    return element;
  }

  /** Show a piece of a photograph where it lies: on top, or right above another one. */
  place(piece, under) {
    const { image, box, photograph } = piece;
    const [top, left, bottom, right] = box;
    Object.assign(image.style, {
      top: `${(100 * top) / photograph.height}%`,
      left: `${(100 * left) / photograph.width}%`,
      height: `${(100 * (bottom - top)) / photograph.height}%`,
      width: `${(100 * (right - left)) / photograph.width}%`,
    });
    if (under) under.image.after(image);
    else this.layer(image);
    return piece;
  }

  /** The box of a picture of this size that is seen, in its pixels, and its size on the screen in CSS pixels. */
  seen({ height, width }) {
    const whole = this.layers.getBoundingClientRect();
    const frame = this.element.parentElement.getBoundingClientRect();
    const element = this.element.getBoundingClientRect();
    const top = Math.max(frame.top, element.top);
    const left = Math.max(frame.left, element.left);
    const bottom = Math.min(frame.bottom, element.bottom);
    const right = Math.min(frame.right, element.right);
    const row = (y) => ((y - whole.top) * height) / whole.height;
    const column = (x) => ((x - whole.left) * width) / whole.width;
    return { box: [row(top), column(left), row(bottom), column(right)], size: [right - left, bottom - top] };
  }

  /** Move the cross-hair to a place; null hides it. */
  mark(place, pinned = false) {
    this.drawing.toggleAttribute("hidden", !place);
    if (!place) return;
    const { fy, fx } = this.inElement(place);
    this.hair.setAttribute("x", `${100 * fx}%`);
    this.hair.setAttribute("y", `${100 * fy}%`);
    this.drawing.classList.toggle("pinned", pinned);
  }
}

/** Calls `over(fy, fx, held)` while a pointer moves over the element, `press(fy, fx)` at a click, `leave()` at the end.
    A finger that moves over the element is `held`; lifting it is a click. */
export function follow(element, { over, press, leave }) {
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" && event.isPrimary) element.setPointerCapture(event.pointerId);
    if (event.isPrimary) over(...place(event), true);
  });
  element.addEventListener("pointermove", (event) => {
    if (event.isPrimary) over(...place(event), event.pointerType !== "mouse");
  });
  element.addEventListener("pointerup", (event) => {
    if (event.isPrimary && event.button === 0) press(...place(event));
  });
  element.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") leave();
  });
}
