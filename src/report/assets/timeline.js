// The timeline: rows over one axis of time, drawn on canvas, from hours down to tenths of a second. One file because a page holds it inline.
"use strict";
const Earmark = {};

Earmark.clock = (seconds, span = 60) => {
  const digits = span < 2 ? 3 : span < 20 ? 2 : span < 600 ? 1 : 0;
  const sign = seconds < -1e-9 ? "-" : "";
  const unit = 10 ** digits;
  let rest = Math.round(Math.abs(seconds) * unit);
  const part = n => { const value = rest % n; rest = Math.floor(rest / n); return value; };
  const fraction = digits ? "." + String(part(unit)).padStart(digits, "0") : "";
  const s = part(60), m = part(60), h = rest;
  const two = n => String(n).padStart(2, "0");
  return sign + (h ? `${h}:${two(m)}` : m) + ":" + two(s) + fraction;
};

// Columns that came as base64.
Earmark.columns = (() => {
  const raw = text => {
    const s = atob(text), out = new Uint8Array(s.length);
    for (let i = 0; i < s.length; i++) out[i] = s.charCodeAt(i);
    return out;
  };
  const typed = Type => text => { const bytes = raw(text); return new Type(bytes.buffer, 0, bytes.length / Type.BYTES_PER_ELEMENT); };
  const u32 = typed(Uint32Array);
  return {
    u8: raw, u16: typed(Uint16Array), i32: typed(Int32Array), u32,
    time: text => Float64Array.from(u32(text), tick => tick / 1e4),
  };
})();

// First index whose value is not below `x`, in an ascending column.
Earmark.lower = (column, x) => {
  let low = 0, high = column.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] < x) low = middle + 1; else high = middle;
  }
  return low;
};

Earmark.TIERS = ["low", "base", "high"];
Earmark.REASONS = ["anchor", "untrusted", "background", "uniform"];
Earmark.RESULTS = ["found", "seen", "missed"];
Earmark.STANDINGS = ["right", "inside", "false"];

Earmark.Timeline = class {
  constructor(box, data, on) {
    this.box = box;
    this.on = on; // { select(item), hover(item, x, y), view(from, to) }
    this.data = data;
    this.rows = box.querySelector("#rows");
    this.overview = box.querySelector("#overview");
    this.duration = Math.max(...data.runs.map(run => run.duration), 0.1);
    this.from = 0;
    this.to = this.duration;
    this.selected = null;
    this.hovered = null;
    this.drawn = 0;
    this.waiting = false;
    this.pointers = new Map();
    this.strip = document.createElement("canvas");
    this.read();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(box);
    this.resize();
  }

  // Colours of the page's theme.
  read() {
    this.backdrop = null;
    const style = getComputedStyle(document.documentElement);
    this.ink = {};
    for (const name of ["back", "raised", "ink", "soft", "line", "focus", "found", "seen", "missed", "false", "anchor", "background", "untrusted", "gap", "hatch", "speech"])
      this.ink[name] = style.getPropertyValue("--" + name).trim();
    this.ink.right = this.ink.inside = this.ink.found;
    this.ink.uniform = this.ink.background;
    this.anchorShade = this.shade(this.ink.anchor);
    const dark = style.colorScheme.includes("dark");
    // Quiet to loud: from the page's ground to blue and yellow-white, or to blue and black.
    const stops = dark ? [[20, 22, 26], [20, 60, 110], [60, 130, 190], [190, 200, 170], [255, 240, 190]] : [[255, 255, 255], [200, 218, 235], [105, 155, 205], [30, 80, 140], [8, 22, 50]];
    this.shades = new Uint32Array(16);
    for (let k = 0; k < 16; k++) {
      const at = k / 15 * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2), part = at - low;
      const mix = c => Math.round(stops[low][c] + (stops[low + 1][c] - stops[low][c]) * part);
      this.shades[k] = 0xff000000 | mix(2) << 16 | mix(1) << 8 | mix(0);
    }
    // Hatching means one thing: sound that can't be trusted.
    this.hatched = this.hatching(this.ink.hatch);
  }

  // A colour as a pixel without its opacity.
  shade(colour) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 1;
    const c = tile.getContext("2d");
    c.fillStyle = colour;
    c.fillRect(0, 0, 1, 1);
    return new Uint32Array(c.getImageData(0, 0, 1, 1).data.buffer)[0] & 0xffffff;
  }

  hatching(colour) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const c = tile.getContext("2d");
    c.strokeStyle = colour;
    c.lineWidth = 1.5;
    c.beginPath();
    for (const x of [-6, 0, 6]) { c.moveTo(x - 1, 7); c.lineTo(x + 7, -1); }
    c.stroke();
    return tile;
  }

  // Which rows there are, from the top.
  layout() {
    const narrow = this.width < 620, two = this.data.runs.length > 1, sound = this.data.sound;
    this.gutter = narrow ? 0 : 104;
    const rows = [{ kind: "axis", height: 24 }];
    if (sound) {
      if (sound.levels[0].bands.length) rows.push({ kind: "bands", name: "sound", height: narrow ? 48 : 64 });
      rows.push({ kind: "eventness", name: "eventness", hint: "an event begins", height: narrow ? 44 : 56 });
      if (sound.speaks) rows.push({ kind: "speech", name: "speech", height: 14 });
      if (sound.levels[0].change.length) rows.push({ kind: "change", name: "change", hint: "the video changes", height: 28 });
    }
    const events = this.data.runs.find(run => run.events);
    if (events && !two) rows.push({ kind: "events", name: "labelled", run: 0, height: 18 * events.events.lanes + 6 });
    this.data.runs.forEach((run, k) => {
      if (two) rows.push({ kind: "title", title: run.name, height: 20 });
      if (two && run.events) rows.push({ kind: "events", name: "labelled", run: k, height: 18 * run.events.lanes + 6 });
      if (run.anchors.n || run.candidates.n) rows.push({ kind: "anchors", name: "anchors", run: k, height: 46 });
      rows.push({ kind: "frames", name: "frames", run: k, height: 50 });
      for (const how of ["heard", "seen"])
        if (run.parsed && run.parsed[how].n) rows.push({ kind: "parsed", name: "parsed, " + how, how, run: k, height: 18 * run.parsed[how].lanes + 6 });
      if (run.gaps.length) rows.push({ kind: "gaps", name: "gaps", run: k, height: 12 });
    });
    let y = 0;
    for (const row of rows) {
      // On a narrow screen a row's name stands above it.
      if (narrow && row.name) y += 13;
      row.y = y;
      y += row.height + 5;
    }
    this.layoutRows = rows;
    this.height = y + 3;
    this.narrow = narrow;
  }

  resize() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.width = width;
    this.backdrop = null;
    this.layout();
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const [canvas, height] of [[this.rows, this.height], [this.overview, 34]]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.height = height + "px";
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.draw();
  }

  get plot() { return this.width - this.gutter; }
  x(t) { return this.gutter + (t - this.from) / (this.to - this.from) * this.plot; }
  t(x) { return this.from + (x - this.gutter) / this.plot * (this.to - this.from); }

  // Shows [from, to), as far as there is such a stretch; never less than a tenth of a second.
  show(from, to) {
    const span = Math.min(Math.max(to - from, 0.1), this.duration), middle = (from + to) / 2;
    this.from = Math.min(Math.max(middle - span / 2, 0), this.duration - span);
    this.to = this.from + span;
    this.draw();
  }
  zoom(factor, at = (this.from + this.to) / 2) { this.show(at - (at - this.from) * factor, at + (this.to - at) * factor); }
  pan(part) { const by = part * (this.to - this.from); this.show(this.from + by, this.to + by); }
  span(seconds) {
    const at = this.selected ? this.when(this.selected) : (this.from + this.to) / 2;
    this.show(at - seconds / 2, at + seconds / 2);
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const c = this.rows.getContext("2d");
    c.clearRect(0, 0, this.width, this.height);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    this.ticks();
    for (const row of this.layoutRows) {
      c.save();
      if (row.kind !== "axis" && row.kind !== "title") {
        c.fillStyle = this.ink.soft;
        if (this.narrow) c.fillText(row.name, 4, row.y - 6);
        else c.fillText(row.name, 8, row.y + Math.min(row.height / 2, 22));
        c.beginPath();
        c.rect(this.gutter, row.y - 2, this.plot, row.height + 4);
        c.clip();
      }
      this[row.kind](c, row);
      c.restore();
    }
    this.marks(c);
    this.brush();
    this.drawn++;
    this.on.view(this.from, this.to);
  }

  ticks() {
    const span = this.to - this.from, wanted = span / Math.max(2, this.plot / 90);
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];
    this.tick = steps.find(step => step >= wanted) || 86400;
  }

  axis(c, row) {
    c.strokeStyle = this.ink.line;
    c.fillStyle = this.ink.soft;
    c.lineWidth = 1;
    for (let k = Math.ceil(this.from / this.tick); k * this.tick <= this.to; k++) {
      const t = k * this.tick, x = Math.round(this.x(t)) + 0.5;
      c.beginPath();
      c.moveTo(x, row.y + 17);
      c.lineTo(x, this.height);
      c.stroke();
      const text = Earmark.clock(t, this.tick * 20), wide = c.measureText(text).width;
      c.fillText(text, Math.min(Math.max(x - wide / 2, this.gutter), this.width - wide), row.y + 9);
    }
  }

  title(c, row) {
    c.fillStyle = this.ink.raised;
    c.fillRect(0, row.y, this.width, row.height);
    c.fillStyle = this.ink.ink;
    c.font = "600 12px system-ui, sans-serif";
    c.fillText(row.title, 8, row.y + row.height / 2);
  }

  // The level of detail for this zoom, and its cells in view.
  level() {
    const sound = this.data.sound, pixel = (this.to - this.from) / this.plot;
    const depth = Math.max(0, Math.min(sound.levels.length - 1, Math.floor(Math.log(pixel / sound.step) / Math.log(4))));
    const level = sound.levels[depth], step = sound.step * 4 ** depth;
    const first = Math.max(0, Math.floor((this.from - sound.start) / step));
    const last = Math.min(level.n, Math.ceil((this.to - sound.start) / step) + 1);
    return { level, step, first, last, at: k => this.x(sound.start + k * step), wide: step / pixel };
  }

  bands(c, row) {
    const { level, first, last, at } = this.level(), n = last - first;
    if (n <= 0) return;
    this.strip.width = n;
    this.strip.height = 16;
    const s = this.strip.getContext("2d"), image = s.createImageData(n, 16), out = new Uint32Array(image.data.buffer);
    for (let k = 0; k < n; k++)
      for (let pair = 0; pair < 8; pair++) {
        const two = level.bands[(first + k) * 8 + pair];
        out[(15 - 2 * pair) * n + k] = this.shades[two & 15];
        out[(14 - 2 * pair) * n + k] = this.shades[two >> 4];
      }
    s.putImageData(image, 0, 0);
    c.imageSmoothingEnabled = true;
    c.drawImage(this.strip, 0, 0, n, 16, at(first), row.y, at(last) - at(first), row.height);
  }

  eventness(c, row) {
    const { level, step, first, last, at } = this.level();
    // Where the sound can't be trusted.
    const distrust = Math.round(this.data.distrust * 255);
    c.fillStyle = c.createPattern(this.hatched, "repeat");
    for (let k = first; k < last; k++) {
      if (level.unsure[k] < distrust) continue;
      const from = k;
      while (k + 1 < last && level.unsure[k + 1] >= distrust) k++;
      c.fillRect(at(from), row.y, at(k + 1) - at(from), row.height);
    }
    // As unsure as u: it may be anything from e (1 - u) to e + (1 - e) u. Painted by hand, a column of pixels at a time: a path of so
    // many corners takes a browser without a graphics card longer than a frame lasts.
    const ratio = this.rows.width / this.width, columns = Math.round(this.plot * ratio), lines = Math.round(row.height * ratio);
    this.strip.width = columns;
    this.strip.height = lines;
    const s = this.strip.getContext("2d"), image = s.createImageData(columns, lines), out = new Uint32Array(image.data.buffer);
    const [band, body, edge] = [0.22, 0.68, 1].map(share => this.anchorShade | Math.round(share * 255) << 24);
    const line = share => Math.round((1 - share) * (lines - 2 * ratio) + 2 * ratio), thick = Math.max(1, Math.round(ratio));
    const cell = x => Math.floor((this.t(this.gutter + x / ratio) - this.data.sound.start) / step);
    let before = null;
    for (let x = 0; x < columns; x++) {
      const a = Math.max(first, cell(x)), b = Math.min(last, Math.max(cell(x + 1), a + 1));
      if (a >= b) { before = null; continue; }
      let high = 0, most = 0, least = 1;
      for (let k = a; k < b; k++) {
        const sure = level.unsure[k] >= distrust ? 0 : level.unsure[k] / 255, e = level.high[k] / 255;
        high = Math.max(high, e);
        most = Math.max(most, e + (1 - e) * sure);
        least = Math.min(least, level.low[k] / 255 * (1 - sure));
      }
      const top = Math.min(line(high), lines - thick), end = Math.max(top, before ?? top) + thick;
      for (let y = line(most); y < line(least); y++) out[y * columns + x] = band;
      for (let y = top; y < lines; y++) out[y * columns + x] = body;
      for (let y = Math.min(top, before ?? top); y < Math.min(end, lines); y++) out[y * columns + x] = edge;
      before = top;
    }
    s.putImageData(image, 0, 0);
    c.drawImage(this.strip, 0, 0, columns, lines, this.gutter, row.y, columns / ratio, lines / ratio);
  }

  // How much the video changes: the line is what is usual, 32; the top is four times that.
  change(c, row) {
    const { level, first, last, at, wide } = this.level(), base = row.y + row.height, unit = row.height / 128;
    c.fillStyle = this.ink.soft;
    c.globalAlpha = 0.75;
    for (let k = first; k < last; k++) {
      const height = Math.min(level.change[k], 128) * unit;
      c.fillRect(at(k), base - height, Math.max(wide, 1), height);
    }
    c.globalAlpha = 1;
    c.fillStyle = this.ink.line;
    c.fillRect(this.gutter, Math.round(base - 32 * unit), this.plot, 1);
  }

  speech(c, row) {
    const { level, first, last, at, wide } = this.level();
    c.fillStyle = this.ink.speech;
    for (let k = first; k < last; k++) {
      if (level.speech[k] < 26) continue;
      c.globalAlpha = level.speech[k] / 255;
      c.fillRect(at(k), row.y, Math.max(wide, 1), row.height);
    }
  }

  anchors(c, row) {
    const anchors = this.data.runs[row.run].anchors, onset = anchors.onset, base = row.y + row.height;
    const first = Math.max(0, Earmark.lower(onset, this.from) - 2), last = Math.min(anchors.n, Earmark.lower(onset, this.to) + 2);
    this.left(c, row);
    if (last - first > this.plot / 4) { this.crowd(c, row, first, last); return; }
    let lastX = -9, free = this.gutter - 1e9;
    for (let k = first; k < last; k++) {
      const x = this.x(onset[k]), standing = anchors.standing ? Earmark.STANDINGS[anchors.standing[k]] : "anchor";
      const left = this.x(anchors.start[k]), wide = this.x(anchors.stop[k]) - left;
      c.fillStyle = c.strokeStyle = this.ink[standing];
      if (wide > 2) {
        c.globalAlpha = 0.16;
        c.fillRect(left, row.y + 15, wide, row.height - 15);
        c.globalAlpha = 1;
      }
      if (x - lastX < 0.7 && standing !== "false") continue;
      lastX = x;
      // As high as the score; the mark on top says what it stands at.
      const top = base - this.tall(row, anchors.score[k]);
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(x, base);
      c.lineTo(x, top);
      c.stroke();
      c.beginPath();
      const tip = standing === "false" ? -1 : 1;
      c.moveTo(x, top - 4 * tip);
      c.lineTo(x - 4, top + 3 * tip);
      c.lineTo(x + 4, top + 3 * tip);
      c.closePath();
      if (standing === "inside" || standing === "false") { c.save(); c.fillStyle = this.ink.back; c.fill(); c.restore(); c.stroke(); } else c.fill();
      const label = anchors.labels[anchors.label[k]];
      if (!label) continue;
      const room = (k + 1 < anchors.n ? this.x(onset[k + 1]) : this.width + 99) - x;
      if (room < 34 || x - 3 < free) continue;
      let text = label;
      while (text.length > 2 && c.measureText(text).width > room - 8) text = text.slice(0, -2).trimEnd() + "…";
      if (text.length < 4 && text !== label) continue;
      c.fillStyle = this.ink.ink;
      c.fillText(text, x - 3, row.y + 6);
      free = x + c.measureText(text).width + 4;
    }
  }

  // What was heard and not taken: a ring as high as its score.
  left(c, row) {
    const { onset, score, n } = this.data.runs[row.run].candidates, base = row.y + row.height;
    const first = Math.max(0, Earmark.lower(onset, this.from) - 1), last = Math.min(n, Earmark.lower(onset, this.to) + 1);
    c.strokeStyle = this.ink.soft;
    c.lineWidth = 1.2;
    let drawn = -9;
    for (let k = first; k < last; k++) {
      const x = this.x(onset[k]);
      // Of many in one pixel one is enough.
      if (x - drawn < 1) continue;
      drawn = x;
      c.beginPath();
      c.arc(x, base - this.tall(row, score[k]), 2.5, 0, 2 * Math.PI);
      c.stroke();
    }
  }

  // How high an anchor of a score stands.
  tall(row, score) { return (row.height - 15) * (0.25 + 0.75 * score / 255); }

  // More anchors than can be drawn apart: of those in one column of pixels the likeliest of each standing, the wrong ones in front.
  crowd(c, row, first, last) {
    const anchors = this.data.runs[row.run].anchors, base = row.y + row.height, wide = 1.5;
    const columns = Math.ceil(this.plot / wide), best = new Int32Array(columns * 3).fill(-1);
    for (let k = first; k < last; k++) {
      const column = Math.floor((this.x(anchors.onset[k]) - this.gutter) / wide);
      if (column < 0 || column >= columns) continue;
      const slot = column * 3 + (anchors.standing ? anchors.standing[k] : 0);
      if (best[slot] < 0 || anchors.score[k] > anchors.score[best[slot]]) best[slot] = k;
    }
    for (let standing = 0; standing < 3; standing++) {
      c.fillStyle = this.ink[anchors.standing ? Earmark.STANDINGS[standing] : "anchor"];
      for (let column = 0; column < columns; column++) {
        const k = best[column * 3 + standing];
        if (k < 0) continue;
        const high = this.tall(row, anchors.score[k]);
        c.fillRect(this.gutter + column * wide, base - high, wide, high);
      }
    }
  }

  frames(c, row) {
    const frames = this.data.runs[row.run].frames, base = row.y + row.height, at = frames.at;
    const first = Math.max(0, Earmark.lower(at, this.from) - 1), last = Math.min(frames.n, Earmark.lower(at, this.to) + 1);
    const wide = Math.max(1.5, Math.min(7, this.plot / Math.max(1, last - first) * 0.6));
    c.strokeStyle = this.ink.line;
    c.beginPath();
    c.moveTo(this.gutter, base + 0.5);
    c.lineTo(this.width, base + 0.5);
    c.stroke();
    // Of many in one column of pixels the tallest is seen, and an anchor's before others.
    let column = -1, best = -1;
    const bar = k => {
      if (k < 0) return;
      const height = row.height * [0.34, 0.62, 1][frames.tier[k]];
      c.fillStyle = this.ink[Earmark.REASONS[frames.reason[k]]];
      c.fillRect(this.x(at[k]) - wide / 2, base - height, wide, height);
    };
    // A clip is a span, and its middle frame the bar in it.
    if (frames.spans) {
      const { start, stop } = frames.spans;
      c.globalAlpha = 0.3;
      for (let k = Math.max(0, Earmark.lower(stop, this.from) - 1); k < frames.n && start[k] < this.to; k++) {
        const x = this.x(start[k]);
        c.fillStyle = this.ink[Earmark.REASONS[frames.reason[k]]];
        c.fillRect(x, base - row.height * 0.2, Math.max(1, this.x(stop[k]) - x), row.height * 0.2);
      }
      c.globalAlpha = 1;
    }
    for (let k = first; k < last; k++) {
      const here = Math.floor(this.x(at[k]) / 1.5);
      if (here !== column) { bar(best); column = here; best = k; continue; }
      const rank = j => frames.tier[j] * 4 + (3 - frames.reason[j]);
      if (rank(k) > rank(best)) best = k;
    }
    bar(best);
  }

  gaps(c, row) {
    // A line between two ends.
    c.fillStyle = this.ink.gap;
    for (const [from, to] of this.data.runs[row.run].gaps) {
      if (to < this.from || from > this.to) continue;
      const x = this.x(from), wide = Math.max(4, this.x(to) - x);
      c.fillRect(x, row.y + row.height / 2 - 1, wide, 2);
      for (const end of [x, x + wide - 2]) c.fillRect(end, row.y + 1, 2, row.height - 2);
    }
  }

  events(c, row) {
    const events = this.data.runs[row.run].events;
    const last = Earmark.lower(events.start, this.to);
    // What was missed is drawn last, so that nothing hides it.
    for (const result of [0, 1, 2]) {
      const drawn = [-9, -9, -9];
      for (let k = Earmark.lower(events.reach, this.from); k < last; k++) {
        if (events.result[k] !== result || events.stop[k] < this.from) continue;
        const x = this.x(events.start[k]), wide = Math.max(2, this.x(events.stop[k]) - x), y = row.y + 2 + 18 * events.lane[k];
        // Of many in one pixel one is enough.
        if (wide <= 2 && x - drawn[events.lane[k]] < 0.7) continue;
        drawn[events.lane[k]] = x;
        // An event that was heard, and missed for the budget's sake, is an outline.
        const poor = result === 2 && events.heard[k] >= 0, colour = this.ink[Earmark.RESULTS[result]];
        c.fillStyle = colour;
        c.fillRect(x, y, wide, 15);
        if (poor && wide > 4) { c.fillStyle = this.ink.back; c.fillRect(x + 1.5, y + 1.5, wide - 3, 12); }
        const left = Math.max(x, this.gutter), room = x + wide - left - 6;
        if (room < 10) continue;
        c.fillStyle = poor ? colour : this.ink.back;
        const mark = "✓○✕"[result], name = mark + " " + events.classes[events.class[k]];
        const text = c.measureText(name).width <= room ? name : mark;
        c.fillText(text, left + 3, y + 8);
      }
    }
  }

  // What a parser heard or saw: the surer, the stronger.
  parsed(c, row) {
    const said = this.data.runs[row.run].parsed[row.how], drawn = [-9, -9, -9], colour = row.how === "heard" ? this.ink.anchor : this.ink.background;
    const last = Earmark.lower(said.start, this.to);
    for (let k = Earmark.lower(said.reach, this.from); k < last; k++) {
      if (said.stop[k] < this.from) continue;
      const x = this.x(said.start[k]), wide = Math.max(2, this.x(said.stop[k]) - x), y = row.y + 2 + 18 * said.lane[k];
      if (wide <= 2 && x - drawn[said.lane[k]] < 0.7) continue;
      drawn[said.lane[k]] = x;
      c.fillStyle = colour;
      c.globalAlpha = 0.25 + 0.5 * said.score[k] / 255;
      c.fillRect(x, y, wide, 15);
      c.globalAlpha = 1;
      const left = Math.max(x, this.gutter), room = x + wide - left - 6, name = said.classes[said.class[k]];
      if (c.measureText(name).width > room) continue;
      c.fillStyle = this.ink.ink;
      c.fillText(name, left + 3, y + 8);
    }
  }

  // Where the selected and the hovered lie, and the player.
  marks(c) {
    const line = (t, colour, dash) => {
      if (t < this.from || t > this.to) return;
      const x = Math.round(this.x(t)) + 0.5;
      c.strokeStyle = colour;
      c.setLineDash(dash);
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(x, 18);
      c.lineTo(x, this.height);
      c.stroke();
      c.setLineDash([]);
    };
    if (this.hovered) line(this.when(this.hovered), this.ink.soft, [2, 3]);
    if (this.playing != null) line(this.playing, this.ink.missed, []);
    if (this.selected) line(this.when(this.selected), this.ink.focus, []);
  }

  // The whole recording above, with the stretch in view.
  brush() {
    const front = this.overview.getContext("2d"), height = 34, x = t => this.gutter + t / this.duration * this.plot;
    // What does not move is drawn once for each size and theme.
    if (!this.backdrop) {
      this.backdrop = document.createElement("canvas");
      this.backdrop.width = this.overview.width;
      this.backdrop.height = this.overview.height;
      this.whole(this.backdrop.getContext("2d"), height, x);
    }
    front.clearRect(0, 0, this.width, height);
    front.drawImage(this.backdrop, 0, 0, this.width, height);
    this.frame(front, height, x);
  }

  whole(c, height, x) {
    const ratio = this.overview.width / this.width;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    if (!this.narrow) { c.fillStyle = this.ink.soft; c.fillText("all", 8, height / 2); }
    const sound = this.data.sound;
    if (sound) {
      const level = sound.levels[sound.levels.length - 1], step = sound.step * 4 ** (sound.levels.length - 1);
      c.fillStyle = this.ink.uniform;
      c.globalAlpha = 0.55;
      for (let k = 0; k < level.n; k++) {
        const high = level.high[k] / 255 * (height - 10);
        c.fillRect(x(sound.start + k * step), height - 2 - high, Math.max(1, this.plot * step / this.duration), high);
      }
      c.globalAlpha = 1;
    }
    const run = this.data.runs[0];
    c.fillStyle = this.ink.anchor;
    for (let k = 0; k < run.anchors.n; k++) c.fillRect(x(run.anchors.onset[k]) - 0.5, 2, 1, 7);
    if (run.events) {
      c.fillStyle = this.ink.missed;
      for (let k = 0; k < run.events.n; k++) if (run.events.result[k] === 2) c.fillRect(x(run.events.start[k]) - 1, 10, 2, 8);
    }
  }

  frame(c, height, x) {
    const left = x(this.from), right = Math.max(left + 3, x(this.to));
    c.fillStyle = this.ink.back;
    c.globalAlpha = 0.6;
    c.fillRect(this.gutter, 0, left - this.gutter, height);
    c.fillRect(right, 0, this.width - right, height);
    c.globalAlpha = 1;
    c.strokeStyle = this.ink.focus;
    c.lineWidth = 1.5;
    c.strokeRect(left + 0.75, 0.75, Math.max(2, right - left - 1.5), height - 1.5);
  }

  // An item is { kind: "anchor" | "frame" | "event", run, index }.
  when({ kind, run, index }) {
    const of = this.data.runs[run];
    return kind === "anchor" ? of.anchors.onset[index] : kind === "frame" ? of.frames.at[index] : of.events.start[index];
  }

  // What lies under a place.
  hit(x, y) {
    const row = this.layoutRows.find(row => y >= row.y - 3 && y < row.y + row.height + 3);
    if (!row || x < this.gutter) return null;
    const t = this.t(x), near = 9 / this.plot * (this.to - this.from);
    const nearest = (column, kind) => {
      const k = Earmark.lower(column, t);
      const best = [k - 1, k].filter(j => j >= 0 && j < column.length && Math.abs(column[j] - t) <= near)
        .sort((a, b) => Math.abs(column[a] - t) - Math.abs(column[b] - t))[0];
      return best === undefined ? null : { kind, run: row.run, index: best };
    };
    if (row.kind === "events") {
      const events = this.data.runs[row.run].events, lane = Math.floor((y - row.y - 2) / 18);
      let best = null, distance = near;
      for (let k = Earmark.lower(events.reach, t - near); k < events.n && events.start[k] <= t + near; k++) {
        if (events.lane[k] !== lane) continue;
        const off = Math.max(events.start[k] - t, t - events.stop[k], 0);
        if (off <= distance) { best = k; distance = off; }
      }
      return best === null ? null : { kind: "event", run: row.run, index: best };
    }
    if (row.kind === "frames") return nearest(this.data.runs[row.run].frames.at, "frame");
    if (row.kind === "anchors") return nearest(this.data.runs[row.run].anchors.onset, "anchor");
    // On the sound itself: the anchor there.
    if (row.kind === "bands" || row.kind === "eventness") { row.run = 0; return nearest(this.data.runs[0].anchors.onset, "anchor"); }
    return null;
  }

  select(item) {
    this.selected = item;
    const t = this.when(item), margin = (this.to - this.from) * 0.04;
    if (t < this.from + margin || t > this.to - margin) {
      const half = (this.to - this.from) / 2;
      this.show(t - half, t + half);
    }
    this.draw();
    this.on.select(item, t);
  }

  // The anchor (or what else) after or before what is selected, else after the left edge.
  step(forward, kind = "anchor", fits = () => true) {
    let run = this.selected ? this.selected.run : 0;
    const column = of => kind === "anchor" ? of.anchors.onset : of.events ? of.events.start : [];
    if (!column(this.data.runs[run]).length) run = this.data.runs.findIndex(of => column(of).length);
    if (run < 0) return;
    const times = column(this.data.runs[run]);
    const same = this.selected && this.selected.kind === kind && this.selected.run === run;
    const t = this.selected ? this.when(this.selected) : forward ? this.from - 1e-6 : this.to;
    let k = same ? this.selected.index + (forward ? 1 : -1) : forward ? Earmark.lower(times, t + 1e-6) : Earmark.lower(times, t) - 1;
    while (k >= 0 && k < times.length && !fits(run, k)) k += forward ? 1 : -1;
    if (k >= 0 && k < times.length) this.select({ kind, run, index: k });
  }
  stepMissed(forward) { this.step(forward, "event", (run, k) => this.data.runs[run].events.result[k] === 2); }

  listen() {
    const place = (canvas, e) => { const box = canvas.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; };
    const rows = this.rows;
    let moved = 0, grip = null;
    this.box.addEventListener("wheel", e => {
      e.preventDefault();
      const [x] = place(rows, e), unit = e.deltaMode === 1 ? 18 : 1;
      const sideways = e.shiftKey && !e.deltaX ? e.deltaY : e.deltaX;
      if (Math.abs(sideways) > Math.abs(e.deltaY) || e.shiftKey) this.pan(sideways * unit / this.plot);
      else this.zoom(Math.exp(Math.max(-300, Math.min(300, e.deltaY * unit)) * 0.0022), this.t(Math.max(x, this.gutter)));
    }, { passive: false });
    rows.addEventListener("pointerdown", e => {
      rows.setPointerCapture(e.pointerId);
      this.pointers.set(e.pointerId, place(rows, e));
      moved = 0;
      grip = null;
    });
    rows.addEventListener("pointermove", e => {
      const [x, y] = place(rows, e), before = this.pointers.get(e.pointerId);
      if (!before) {
        const item = this.hit(x, y);
        if (JSON.stringify(item) !== JSON.stringify(this.hovered)) { this.hovered = item; this.draw(); }
        this.on.hover(item, x, y, this.t(x));
        return;
      }
      this.pointers.set(e.pointerId, [x, y]);
      if (this.pointers.size === 1) {
        moved += Math.abs(x - before[0]);
        this.pan((before[0] - x) / this.plot);
      } else {
        const [[a], [b]] = this.pointers.values();
        moved = 99;
        const wide = Math.max(12, Math.abs(a - b));
        if (grip) this.zoom(grip / wide, this.t((a + b) / 2));
        grip = wide;
      }
    });
    const up = e => {
      const [x, y] = place(rows, e);
      if (this.pointers.delete(e.pointerId) && e.type === "pointerup" && moved < 5) {
        const item = this.hit(x, y);
        if (item) this.select(item);
        else if (x > this.gutter) this.on.select(null, this.t(x));
      }
      grip = null;
    };
    rows.addEventListener("pointerup", up);
    rows.addEventListener("pointercancel", up);
    rows.addEventListener("pointerleave", () => { this.hovered = null; this.on.hover(null); this.draw(); });
    rows.addEventListener("dblclick", e => this.zoom(0.4, this.t(place(rows, e)[0])));
    const centre = e => {
      const t = (place(this.overview, e)[0] - this.gutter) / this.plot * this.duration, half = (this.to - this.from) / 2;
      this.show(t - half, t + half);
    };
    this.overview.addEventListener("pointerdown", e => { this.overview.setPointerCapture(e.pointerId); centre(e); });
    this.overview.addEventListener("pointermove", e => { if (e.buttons) centre(e); });
  }
};
