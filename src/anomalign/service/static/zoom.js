/** Zoom and pan of two viewers, both together: wheel, pinch, double click, drag. A viewer lies in a frame that clips it. */

const STEP = 1.25;
const DOUBLE_CLICK = 3;
const LEAST_PX = 100; // of the shorter side of a picture that begins as a whole
const CLICK_PX = 4; // a pointer that moves farther drags

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Half of what is seen of a picture, as fractions of its width and height. */
function halvesOf(element) {
  const frame = element.parentElement;
  return [frame.clientWidth / element.offsetWidth / 2, frame.clientHeight / element.offsetHeight / 2];
}

export class Zoom {
  /** `onChange()` is called when other places are seen. */
  constructor(viewers, onChange) {
    this.elements = viewers.map((viewer) => viewer.element);
    this.onChange = onChange;
    this.scale = 1;
    this.highest = 8;
    this.centre = [0.5, 0.5]; // the place (x, y) in the middle of the first frame, as fractions of its picture
    this.aside = [0, 0]; // from it to the place in the middle of the second frame
    this.pointers = new Map();
    this.dragged = false; // whether the pointers that are down have moved the picture
    for (const element of this.elements) this.#listen(element);
  }

  /** Zoom by a factor, so that a place (fx, fy) stays where it is on the screen. */
  by(factor, [fx, fy] = this.centre) {
    const scale = clamp(this.scale * factor, 1, this.highest);
    const ratio = this.scale / scale;
    this.#set(scale, fx + (this.centre[0] - fx) * ratio, fy + (this.centre[1] - fy) * ratio);
  }

  in(place) {
    this.by(STEP, place);
  }

  out(place) {
    this.by(1 / STEP, place);
  }

  reset() {
    this.#set(1, 0.5, 0.5);
  }

  /** Zoom to a scale with a place in the middle, as `scale` and `centre` gave them earlier. */
  show({ scale, centre }) {
    this.#set(clamp(scale, 1, this.highest), ...centre);
  }

  /** Where to begin with a picture so long that little is seen of it as a whole: as large as the frame allows, or so that
      a pixel of the image (`width` of them are shown) is one of the screen, with a place in the middle. */
  startAt({ fx, fy }, width) {
    const [element] = this.elements;
    const frame = element.parentElement;
    const sides = [element.offsetWidth, element.offsetHeight];
    if (Math.min(...sides) >= LEAST_PX) return { scale: 1, centre: [0.5, 0.5] };
    const filled = Math.max(frame.clientWidth / sides[0], frame.clientHeight / sides[1]);
    return { scale: Math.min(filled, Math.max(1, width / sides[0])), centre: [fx, fy] };
  }

  /** Whether anything of a box is seen: `first` is its corner at the top left, `last` the opposite one. */
  sees(first, last) {
    const [halfX, halfY] = halvesOf(this.elements[0]);
    const [x, y] = this.centre;
    return first.fx < x + halfX && last.fx > x - halfX && first.fy < y + halfY && last.fy > y - halfY;
  }

  /** Move a place into view, if it is not. */
  reveal({ fx, fy }) {
    const [halfX, halfY] = halvesOf(this.elements[0]);
    const [x, y] = this.centre;
    if (Math.abs(fx - x) > 0.9 * halfX || Math.abs(fy - y) > 0.9 * halfY) this.#set(this.scale, fx, fy);
  }

  /** Show a place of the second picture where the first shows `place`. Where it is seen anyway, both show the same part. */
  match(place, there) {
    const [halfX, halfY] = halvesOf(this.elements[1]);
    const [x, y] = this.centre;
    const isSeen = Math.abs(there.fx - x) <= halfX && Math.abs(there.fy - y) <= halfY;
    this.aside = isSeen ? [0, 0] : [there.fx - place.fx, there.fy - place.fy];
    this.#place(this.elements[1], [x + this.aside[0], y + this.aside[1]]);
  }

  #set(scale, fx, fy) {
    this.scale = scale;
    for (const element of this.elements) element.style.setProperty("--zoom", scale);
    const [first, second] = this.elements;
    this.centre = this.#place(first, [fx, fy]);
    this.#place(
      second,
      this.centre.map((value, i) => value + this.aside[i]),
    );
    this.onChange();
  }

  /** Move a picture so that a place lies in the middle of its frame, as far as the picture reaches; return the place that
      does. */
  #place(element, place) {
    const halves = halvesOf(element);
    const middle = place.map((value, i) => (halves[i] >= 0.5 ? 0.5 : clamp(value, halves[i], 1 - halves[i])));
    element.style.translate = middle.map((value) => `${100 * (0.5 - value)}%`).join(" ");
    return middle;
  }

  #listen(element) {
    const frame = element.parentElement;
    const placeOf = ({ clientX, clientY }) => {
      const box = element.getBoundingClientRect();
      const [asideX, asideY] = element === this.elements[0] ? [0, 0] : this.aside;
      return [(clientX - box.left) / box.width - asideX, (clientY - box.top) / box.height - asideY];
    };
    frame.addEventListener(
      "wheel",
      (event) => {
        if (event.deltaY > 0 && this.scale === 1) return; // the page scrolls
        event.preventDefault();
        const perStep = event.deltaMode ? 3 : event.ctrlKey ? 20 : 100; // lines; pixels of a pinch; pixels of a wheel
        this.by(STEP ** clamp(-event.deltaY / perStep, -2, 2), placeOf(event));
      },
      { passive: false },
    );
    frame.addEventListener("dblclick", (event) => {
      if (this.scale > 1) this.reset();
      else this.by(DOUBLE_CLICK, placeOf(event));
    });
    frame.addEventListener(
      "pointerdown",
      (event) => {
        if (event.isPrimary) this.pointers.clear();
        this.pointers.set(event.pointerId, { start: event, last: event });
      },
      true,
    );
    frame.addEventListener("pointermove", (event) => this.#move(event, element, placeOf), true);
    for (const kind of ["pointerup", "pointercancel", "pointerleave"])
      frame.addEventListener(kind, (event) => {
        this.pointers.delete(event.pointerId);
        if (!this.pointers.size) this.dragged = false;
      });
  }

  #move(event, element, placeOf) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return;
    const before = this.#middle();
    pointer.last = event;
    const after = this.#middle();
    if (this.pointers.size === 2) {
      this.dragged = true;
      if (before.spread) this.by(after.spread / before.spread, placeOf(before));
      this.#pan(before, after, element);
    } else if (event.pointerType === "mouse" && this.scale > 1) {
      this.dragged ||=
        Math.hypot(event.clientX - pointer.start.clientX, event.clientY - pointer.start.clientY) > CLICK_PX;
      if (!this.dragged) return;
      element.parentElement.setPointerCapture(event.pointerId); // the drag goes on outside the frame
      this.#pan(before, after, element);
    }
  }

  /** The middle of the pointers that are down, and how far they are apart. */
  #middle() {
    const [a, b = a] = [...this.pointers.values()].map(({ last }) => last);
    return {
      clientX: (a.clientX + b.clientX) / 2,
      clientY: (a.clientY + b.clientY) / 2,
      spread: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
    };
  }

  #pan(before, after, element) {
    const { offsetWidth, offsetHeight } = element;
    const [x, y] = this.centre;
    this.#set(
      this.scale,
      x - (after.clientX - before.clientX) / offsetWidth,
      y - (after.clientY - before.clientY) / offsetHeight,
    );
  }
}
