// The contact sheet: the frames taken, those at anchors large.
Earmark.Sheet = class {
  constructor(box, more, data, chosen) {
    Object.assign(this, { box, more, data, chosen, run: 0, show: { anchor: true, rest: true } });
    more.addEventListener("click", () => this.add());
    this.fill();
  }

  fill() {
    const run = this.data.runs[this.run], thumbnails = run.thumbnails;
    this.queue = [];
    if (thumbnails)
      for (const row of thumbnails.keys())
        if (this.show[run.frames.anchor[row] >= 0 ? "anchor" : "rest"]) this.queue.push(row);
    this.box.replaceChildren();
    this.add();
  }

  add() {
    const run = this.data.runs[this.run], part = document.createDocumentFragment();
    for (const row of this.queue.splice(0, 150)) part.append(this.thumbnail(run, row));
    this.box.append(part);
    this.more.hidden = !this.queue.length;
    this.more.textContent = `${Math.min(150, this.queue.length)} more of ${this.queue.length}`;
  }

  thumbnail(run, row) {
    const anchor = run.frames.anchor[row], item = { kind: "frame", run: this.run, index: row };
    const button = document.createElement("button"), image = document.createElement("img"), text = document.createElement("span");
    button.type = "button";
    button.className = anchor >= 0 ? "anchor" : "rest " + Earmark.REASONS[run.frames.reason[row]];
    if (anchor >= 0 && run.anchors.standing) button.classList.add(Earmark.STANDINGS[run.anchors.standing[anchor]]);
    image.src = run.thumbnails.get(row);
    image.alt = "";
    image.loading = "lazy";
    const label = anchor >= 0 ? run.anchors.labels[run.anchors.label[anchor]] || "anchor" : "";
    text.textContent = Earmark.clock(run.frames.at[row], 100) + (label ? " " + label : "");
    button.title = text.textContent;
    button.append(image, text);
    button.addEventListener("click", () => this.chosen(item, button));
    return button;
  }
};
