/** Pictures of large images, in no more pixels than the screen shows: of all of it, and of the part that is looked at. */
import { query } from "./api.js";
import { h } from "./dom.js";

const STEP = 128; // sizes are asked for in such steps, so that a browser keeps few versions of a picture
const LARGEST = 4096; // that the service sends
const PLAIN = 2048; // the largest picture that is sent with all its pixels if no size is asked for
const SETTLED_MS = 150;
const MARGIN = 0.25; // around what is looked at, as a share of it

/** An image that the service has, at an address that gives it whole or, with parameters, in parts. */
export class Photograph {
  constructor(address, { height, width, shown }, canCut = true) {
    Object.assign(this, { address, height, width, shown, canCut });
  }
}

/** A picture of the part `box` of a photograph ([top, left, bottom, right] in its pixels), in at most `most` pixels
    ([width, height]); null: in all pixels. */
class Piece {
  constructor(photograph, box, most, attributes = {}) {
    Object.assign(this, { photograph, box, most });
    const [width, height] = most ?? [];
    const isWhole = String(box) === String([0, 0, photograph.height, photograph.width]);
    const src = photograph.address + query({ box: isWhole ? null : box.join(), width, height });
    this.image = h("img", { src, alt: "", draggable: "false", ...attributes });
  }

  /** Its pixels for each pixel of the photograph, along a side; infinite if the service has no more. */
  get density() {
    const { naturalWidth, naturalHeight } = this.image;
    if (!this.most || (naturalWidth < this.most[0] && naturalHeight < this.most[1])) return Infinity;
    return naturalWidth / (this.box[3] - this.box[1]);
  }

  /** Whether the service has fewer pixels than the photograph has and the screen could show. */
  get isCoarse() {
    const [top, left, bottom, right] = this.box;
    const { naturalWidth, naturalHeight } = this.image;
    const [width, height] = this.most ?? [Infinity, Infinity];
    const isLess = naturalWidth < Math.min(width, right - left) && naturalHeight < Math.min(height, bottom - top);
    return naturalWidth > 0 && isLess;
  }

  covers([top, left, bottom, right]) {
    return top >= this.box[0] && left >= this.box[1] && bottom <= this.box[2] && right <= this.box[3];
  }
}

/** A picture of all that is shown of a photograph, for a place of so many CSS pixels. One that has no more pixels than the
    window comes with all of them, so that nothing more is asked for. */
export function pieceFor(photograph, [width, height], attributes) {
  const { height: rows, width: columns, shown, canCut } = photograph;
  const isSmall = rows * columns <= innerWidth * innerHeight * devicePixelRatio ** 2 && Math.max(rows, columns) <= PLAIN;
  if (isSmall || !canCut) return new Piece(photograph, [0, 0, rows, columns], null, attributes);
  const most = [pixelsFor(width, innerWidth), pixelsFor(height, innerHeight)];
  return new Piece(photograph, shown, most, attributes);
}

function pixelsFor(length, limit) {
  const wanted = Math.ceil((length * devicePixelRatio) / STEP) * STEP;
  return Math.max(1, Math.min(wanted, Math.round(limit * devicePixelRatio), LARGEST));
}

/** The part of a photograph that is looked at, in the resolution of the screen, above a picture of all of it. It is asked
    for when nothing has moved for a moment. */
export class Detail {
  /** `onLoad()` is called when it can be seen; `show(piece, under)` may put it on the page. */
  constructor(onLoad, show = () => {}) {
    this.onLoad = onLoad;
    this.show = show;
    this.piece = null;
    this.coming = null;
    this.timer = 0;
  }

  /** Look at a box, in the photograph's pixels, in a place of so many CSS pixels; `under` shows all of the photograph. */
  look(under, box, size) {
    clearTimeout(this.timer);
    const { photograph } = under;
    for (const name of ["piece", "coming"]) if (this[name]?.photograph !== photograph) this.#drop(name);
    if (!under.image.naturalWidth || !photograph.canCut) return;
    const needed = Math.min(1, (size[0] * devicePixelRatio) / (box[3] - box[1]));
    const serves = (piece) => piece && piece.density > 0.99 * needed && piece.covers(box);
    if (serves(under)) for (const name of ["piece", "coming"]) this.#drop(name);
    else if (!serves(this.piece) && !serves(this.coming))
      this.timer = setTimeout(() => this.#load(under, around(photograph, box, size), needed), SETTLED_MS);
  }

  async #load(under, box, density) {
    const [top, left, bottom, right] = box;
    const most = [right - left, bottom - top].map((side) => Math.min(Math.ceil(side * density), LARGEST));
    const piece = new Piece(under.photograph, box, most);
    this.coming = piece;
    try {
      await piece.image.decode();
    } catch {
      return; // the coarse picture stays
    }
    if (this.coming !== piece) return;
    this.#drop("piece");
    this.piece = piece;
    this.coming = null;
    this.show(piece, under);
    this.onLoad();
  }

  #drop(name) {
    this[name]?.image.remove();
    this[name] = null;
  }
}

/** A box with a margin, as far as the photograph reaches and the window could show it. */
function around({ height, width }, [top, left, bottom, right], [cssWidth, cssHeight]) {
  const margin = (side, css, window) => side * Math.max(0, Math.min(MARGIN, (window / css - 1) / 2));
  const down = margin(bottom - top, cssHeight, innerHeight);
  const across = margin(right - left, cssWidth, innerWidth);
  return [
    Math.max(0, Math.floor(top - down)),
    Math.max(0, Math.floor(left - across)),
    Math.min(height, Math.ceil(bottom + down)),
    Math.min(width, Math.ceil(right + across)),
  ];
}
