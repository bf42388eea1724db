// The page of `earmark live`: asks once for everything, then listens. Text from elsewhere goes in as text, never as markup.
"use strict";
const sources = new Map();
const link = document.getElementById("link");
const KEEP = 600, LISTED = 5;
const number = (n) => (n ?? 0).toLocaleString("en");
const time = (ms) => new Date(ms).toLocaleTimeString();

function section(name) {
  let known = sources.get(name);
  if (known) return known;
  const node = document.getElementById("source").content.cloneNode(true).firstElementChild;
  node.querySelector("h2").textContent = name;
  node.querySelector("canvas").setAttribute("aria-label", `the last ten minutes of ${name}`);
  document.getElementById("sources").append(node);
  known = { node, sound: [], anchors: [], frames: [] };
  sources.set(name, known);
  return known;
}

function show(source) {
  const known = section(source.name);
  if (source.heard) {
    Object.assign(known, source.heard);
    known.node.querySelector(".anchors").replaceChildren();
    for (const a of known.anchors.slice(-LISTED)) list(known, a);
  }
  const last = source.last;
  if (last && known.sound.at(-1)?.t !== last.t) known.sound.push(last);
  if (known.sound.length > KEEP) known.sound.splice(0, known.sound.length - KEEP);
  const node = known.node;
  node.className = source.state;
  node.querySelector(".state b").textContent = source.words + (source.without.length ? `, without ${source.without.join(" and ")}` : "");
  node.querySelector(".since").textContent = `since ${time(source.since_ms)}`;
  const faults = Object.entries(source.faults).map(([cause, n]) => `${cause.replace("_", " ")} ${n} x`).join(", ");
  node.querySelector(".fault").textContent = source.last_fault ? `${faults}; last: ${source.last_fault.text}` : "";
  const left = source.earned - source.tokens;
  const rows = [
    ["anchors", number(source.anchors)], ["frames taken", number(source.frames)], ["frames missed", number(source.missed)],
    ["tokens spent", number(source.tokens)], ["tokens left", number(Math.max(left, 0))], ["files", number(source.files)],
    ["left out", source.left_out ? `${number(source.left_out)}, ${number(source.left_out_anchors)} of anchors` : "0"],
    ["starts", number(source.starts)], ["clock", source.wall_uncertainty_ms == null ? "unknown" : `± ${source.wall_uncertainty_ms} ms`],
  ];
  const table = node.querySelector("dl");
  table.replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    row.append(dt, dd);
    return row;
  }));
  draw(known);
}

function draw(known) {
  const canvas = known.node.querySelector("canvas"), pen = canvas.getContext("2d");
  const { width, height } = canvas, now = Date.now() / 1000;
  const x = (t) => width - (now - t) * width / KEEP;
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), quiet = style.getPropertyValue("--quiet"), line = style.getPropertyValue("--line");
  pen.clearRect(0, 0, width, height);
  const top = 18, floor = height - 18, span = floor - top;
  pen.fillStyle = line;
  for (const s of known.sound) pen.fillRect(x(s.t), floor - s.l * span, width / KEEP, s.l * span);
  for (const [key, colour] of [["u", quiet], ["e", ink]]) {
    pen.strokeStyle = colour;
    pen.beginPath();
    let before = null;
    for (const s of known.sound) {
      const at = [x(s.t), floor - s[key] * span];
      if (before !== null && s.t - before < 3) pen.lineTo(...at); else pen.moveTo(...at);
      before = s.t;
    }
    pen.stroke();
  }
  pen.fillStyle = ink;
  for (const a of known.anchors) pen.fillRect(x(a.t / 1000), 2, 2, 12);
  pen.fillStyle = quiet;
  for (const t of known.frames) pen.fillRect(x(t / 1000), height - 12, 1, 10);
}

function anchor(event) {
  const known = section(event.source);
  const t = event.onset_wall ? Date.parse(event.onset_wall) : Date.now();
  known.anchors.push({ t, label: event.label, score: event.score });
  if (known.anchors.length > 1000) known.anchors.shift();
  list(known, known.anchors.at(-1));
}

function written(event) {
  const t = event.onset_wall ? Date.parse(event.onset_wall) : Date.now();
  const { frames } = section(event.source);
  frames.push(...event.frames_ns.map((at) => t + (at - event.onset_ns) / 1e6));
  if (frames.length > 1000) frames.splice(0, frames.length - 1000);
}

function list(known, anchor) {
  const row = document.createElement("li");
  row.textContent = `${time(anchor.t)} ${anchor.label || "something"} (${Math.round(anchor.score * 100)} %)`;
  const rows = known.node.querySelector(".anchors");
  rows.prepend(row);
  while (rows.children.length > LISTED) rows.lastChild.remove();
}

async function all() {
  const answer = await fetch("/api/state");
  if (!answer.ok) throw new Error(await answer.text());
  (await answer.json()).sources.forEach(show);
}

function listen() {
  const events = new EventSource("/api/events");
  events.onopen = () => { link.textContent = "live"; all().catch(() => {}); };
  events.onerror = () => {
    link.textContent = "connection lost; trying again";
    // A browser gives up for good where it is refused.
    if (events.readyState === EventSource.CLOSED) { events.close(); setTimeout(listen, 5000); }
  };
  events.addEventListener("tick", (e) => JSON.parse(e.data).sources.forEach(show));
  events.addEventListener("anchor", (e) => anchor(JSON.parse(e.data)));
  events.addEventListener("written", (e) => written(JSON.parse(e.data)));
}

listen();
