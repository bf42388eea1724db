// The page: data into the timeline, the player, the details, the charts and the contact sheet.
(() => {
  const by = id => document.getElementById(id), root = document.documentElement;
  const data = JSON.parse(by("data").textContent), columns = Earmark.columns;

  const decode = () => {
    if (data.sound) {
      for (const level of data.sound.levels)
        for (const name of ["low", "high", "unsure", "speech", "bands", "change"]) level[name] = columns.u8(level[name]);
      const last = data.sound.levels[data.sound.levels.length - 1];
      data.sound.speaks = last.speech.some(p => p >= 26);
    }
    for (const run of data.runs) {
      const { frames, anchors, candidates, events } = run;
      candidates.onset = columns.time(candidates.onset);
      candidates.score = columns.u8(candidates.score);
      candidates.more = columns.u32(candidates.more);
      for (const name of ["at", "planned", "asked"]) frames[name] = columns.time(frames[name]);
      if (frames.spans) for (const name of ["start", "stop"]) frames.spans[name] = columns.time(frames.spans[name]);
      for (const name of ["tier", "reason"]) frames[name] = columns.u8(frames[name]);
      frames.tokens = columns.u32(frames.tokens);
      frames.anchor = columns.i32(frames.anchor);
      if (frames.quality) frames.quality.values = columns.u8(frames.quality.values);
      for (const name of ["onset", "start", "stop"]) anchors[name] = columns.time(anchors[name]);
      for (const name of ["score", "unsure"]) anchors[name] = columns.u8(anchors[name]);
      if (anchors.standing) anchors.standing = columns.u8(anchors.standing);
      anchors.label = columns.u16(anchors.label);
      anchors.frame = columns.i32(anchors.frame);
      if (events) {
        for (const name of ["start", "stop"]) events[name] = columns.time(events[name]);
        events.class = columns.u16(events.class);
        events.result = columns.u8(events.result);
        events.anchor = columns.i32(events.anchor);
        events.frame = columns.i32(events.frame);
        events.heard = columns.i32(events.heard);
        lanes(events);
      }
      for (const said of run.parsed ? [run.parsed.heard, run.parsed.seen] : []) {
        for (const name of ["start", "stop"]) said[name] = columns.time(said[name]);
        said.class = columns.u16(said.class);
        said.score = columns.u8(said.score);
        lanes(said);
      }
      if (run.thumbnails) {
        const { rows, jpegs } = run.thumbnails;
        run.thumbnails = new Map(rows.map((row, k) => [row, "data:image/jpeg;base64," + jpegs[k]]));
      }
    }
  };

  // Events that sound together lie in lanes of their own, three at most; `reach` is the latest stop so far.
  const lanes = events => {
    const free = [-1, -1, -1];
    events.lane = new Uint8Array(events.n);
    events.reach = new Float64Array(events.n);
    let reach = 0;
    for (let k = 0; k < events.n; k++) {
      let lane = free.findIndex(until => until <= events.start[k]);
      if (lane < 0) lane = free.indexOf(Math.min(...free));
      events.lane[k] = lane;
      free[lane] = Math.max(free[lane], events.stop[k]);
      events.reach[k] = reach = Math.max(reach, events.stop[k]);
    }
    events.lanes = 1 + events.lane.reduce((most, lane) => Math.max(most, lane), 0);
  };

  const percent = byte => (byte / 255).toFixed(2);
  const exact = t => Earmark.clock(t, 1) + " (" + t.toFixed(3) + " s)";
  const why = (run, k) => {
    const anchor = run.frames.anchor[k], reason = Earmark.REASONS[run.frames.reason[k]];
    if (anchor >= 0) return `an onset at ${Earmark.clock(run.anchors.onset[anchor], 1)}`;
    return { untrusted: "the sound cannot be trusted here", background: "a background frame, so that no stretch goes unseen" }[reason] || "an evenly spaced frame";
  };

  // Why an event was missed: deaf, or poor?
  const missed = (run, k) => {
    const { known, score, more } = run.candidates;
    if (k < 0) return known ? "not heard" : "no anchor, no frame";
    const price = more[k] < 0xffffffff ? `; ${more[k].toLocaleString("en")} more tokens would take it` : "";
    return `heard (score ${percent(score[k])}), budget spent elsewhere${price}`;
  };

  // What is known of an item: a heading, pairs, a picture.
  const describe = item => {
    const run = data.runs[item.run], pairs = [], k = item.index;
    let heading = "", frame = -1;
    const asked = (f, k) => f.spans ? `${exact(f.asked[k])}; a clip of ${Earmark.clock(f.spans.start[k], 2)} to ${Earmark.clock(f.spans.stop[k], 2)}` : f.asked[k] === f.planned[k] ? exact(f.asked[k]) : `${exact(f.asked[k])}, moved to a frame that is cheaper to decode`;
    const quality = (f, k) => {
      if (!f.quality) return [];
      const n = f.quality.names.length + 1, values = f.quality.values;
      return [["quality", percent(values[k * n]) + ": " + f.quality.names.map((name, i) => name + " " + percent(values[k * n + 1 + i])).join(", ")]];
    };
    const ofFrame = k => pairs.push(["frame at", exact(run.frames.at[k])], ["asked for", asked(run.frames, k)],
      ["tier", `${Earmark.TIERS[run.frames.tier[k]]}, ${run.frames.tokens[k]} tokens`], ["why", why(run, k)], ["row", "/frames " + k], ...quality(run.frames, k));
    const ofAnchor = k => {
      const a = run.anchors;
      pairs.push(["onset at", exact(a.onset[k])], ["score", percent(a.score[k])], ["uncertainty", percent(a.unsure[k])],
        ["window", `${Earmark.clock(a.start[k], 1)} to ${Earmark.clock(a.stop[k], 1)}`]);
      if (a.standing) pairs.push(["labels", ["an event begins here", "inside an event", "no event here"][a.standing[k]]]);
    };
    if (item.kind === "frame") {
      const anchor = run.frames.anchor[k];
      heading = anchor >= 0 ? "Frame at an anchor: " + (run.anchors.labels[run.anchors.label[anchor]] || "no label") : "Background frame";
      ofFrame(k);
      if (anchor >= 0) ofAnchor(anchor);
      frame = k;
    } else if (item.kind === "anchor") {
      heading = "Anchor: " + (run.anchors.labels[run.anchors.label[k]] || "no label");
      ofAnchor(k);
      frame = run.anchors.frame[k];
      if (frame >= 0) ofFrame(frame); else pairs.push(["frame", "none: the budget went to other anchors"]);
    } else {
      const e = run.events;
      heading = "Labelled event: " + (e.classes[e.class[k]] || "no name");
      pairs.push(["from", `${Earmark.clock(e.start[k], 1)} to ${Earmark.clock(e.stop[k], 1)}`],
        ["", ["✓ an anchor at its start", "○ no anchor, but a background frame fell inside", "✕ missed: " + missed(run, e.heard[k])][e.result[k]]]);
      frame = e.frame[k];
      if (e.anchor[k] >= 0) ofAnchor(e.anchor[k]);
      if (frame >= 0) ofFrame(frame);
    }
    if (data.runs.length > 1) pairs.push(["run", run.name]);
    return { heading, pairs, picture: frame >= 0 && run.thumbnails ? run.thumbnails.get(frame) : null };
  };

  const image = src => { const img = document.createElement("img"); img.src = src; img.alt = "the frame"; return img; };

  const details = item => {
    const box = by("details"), { heading, pairs, picture } = describe(item);
    const h = document.createElement("h3"), list = document.createElement("dl");
    h.textContent = heading;
    for (const [name, value] of pairs) {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = value;
      list.append(dt, dd);
    }
    box.replaceChildren(...(picture ? [image(picture)] : []), h, list);
  };

  const tip = by("tip");
  const hover = (item, x, y, t) => {
    tip.hidden = !item;
    if (!item) return;
    const { heading, pairs, picture } = describe(item);
    const text = document.createElement("div");
    text.textContent = [heading, ...pairs.slice(0, 4).map(([name, value]) => name ? name + ": " + value : value)].join("\n");
    tip.replaceChildren(text, ...(picture ? [image(picture)] : []));
    const wide = by("canvases").clientWidth, top = by("rows").offsetTop;
    tip.style.left = Math.max(4, x + 320 > wide ? x - Math.min(312, x) : x + 14) + "px";
    tip.style.top = top + Math.max(4, y - 30) + "px";
    tip.style.right = x + 320 > wide ? wide - x + 10 + "px" : "auto";
    if (x + 320 > wide) tip.style.left = "auto";
  };

  // The player.
  const video = by("video");
  const jump = t => {
    if (!video) return;
    const go = () => { video.currentTime = Math.max(0, t); };
    if (video.readyState >= 1) go(); else video.addEventListener("loadedmetadata", go, { once: true });
  };

  // Charts.
  let chart = null;
  const spending = () => {
    const box = by("spending"), style = getComputedStyle(root), colour = name => style.getPropertyValue("--" + name).trim();
    if (chart) chart.destroy();
    const tables = data.runs.map(run => {
      const x = [0], y = [0];
      for (let k = 0, sum = 0; k < run.frames.n; k++) {
        sum += run.frames.tokens[k];
        if (x[x.length - 1] === run.frames.at[k]) y[y.length - 1] = sum; else { x.push(run.frames.at[k]); y.push(sum); }
      }
      if (x[x.length - 1] < run.duration) { x.push(run.duration); y.push(y[y.length - 1]); }
      return [x, y];
    });
    const budget = data.runs[0].budget;
    if (budget) tables.push([[0, data.runs[0].duration], [0, budget]]);
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    const names = ["anchor", "untrusted"];
    chart = new uPlot({
      width: Math.max(200, box.clientWidth), height: 240,
      scales: { x: { time: false } },
      cursor: { drag: { x: false, y: false } },
      legend: { live: true },
      axes: [{ ...axis, values: (_, all) => all.map(t => Earmark.clock(t, 1000)) },
        { ...axis, size: 64, values: (_, all) => all.map(n => n >= 1e6 ? n / 1e6 + " M" : n.toLocaleString("en")) }],
      series: [{ label: "at", value: (_, t) => t == null ? "" : Earmark.clock(t, 100) },
        ...data.runs.map((run, k) => ({ label: data.runs.length > 1 ? run.name : "tokens spent", stroke: colour(names[k]), width: 2, spanGaps: true, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } })),
        ...(budget ? [{ label: "budget, spent evenly", stroke: colour("soft"), dash: [5, 5], width: 1, spanGaps: true, points: { show: false } }] : [])],
    }, tables.length > 1 ? uPlot.join(tables) : tables[0], box);
  };

  decode();
  const where = by("where");
  const timeline = new Earmark.Timeline(by("canvases"), data, {
    select: (item, t) => { if (item) details(item); jump(t); },
    hover,
    view: (from, to) => { where.textContent = `${Earmark.clock(from, to - from)} to ${Earmark.clock(to, to - from)}`; },
  });
  const sheet = new Earmark.Sheet(by("thumbnails"), by("more"), data, (item, button) => {
    by("thumbnails").querySelector("[aria-current]")?.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    if (timeline.to - timeline.from > 30) { const t = timeline.when(item); timeline.show(t - 5, t + 5); }
    timeline.select(item);
    by("timeline").scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  });
  if (data.runs.some(run => run.thumbnails)) document.querySelector("#sheet .tools").hidden = false;

  const deeds = {
    next: () => timeline.step(true), previous: () => timeline.step(false),
    "next-missed": () => timeline.stepMissed(true), "previous-missed": () => timeline.stepMissed(false),
    in: () => timeline.zoom(0.5), out: () => timeline.zoom(2), all: () => timeline.show(0, timeline.duration),
    left: () => timeline.pan(-0.15), right: () => timeline.pan(0.15),
    start: () => timeline.show(0, timeline.to - timeline.from), end: () => timeline.show(timeline.duration - timeline.to + timeline.from, timeline.duration),
    play: () => { if (video) video.paused ? video.play().catch(() => {}) : video.pause(); },
    theme: () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      timeline.read();
      timeline.draw();
      spending();
    },
  };
  const keys = { n: "next", p: "previous", m: "next-missed", M: "previous-missed", "+": "in", "=": "in", "-": "out", _: "out", 0: "all", t: "theme" };
  const onTimeline = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "in", ArrowDown: "out", Home: "start", End: "end", " ": "play", Enter: "play" };
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, video, summary")) return;
    const deed = keys[e.key] || (e.target === by("canvases") && onTimeline[e.key]);
    if (!deed) return;
    e.preventDefault();
    deeds[deed]();
  });
  document.addEventListener("click", e => {
    const button = e.target.closest?.("button");
    if (!button) return;
    if (button.dataset.do) deeds[button.dataset.do]();
    else if (button.dataset.span) timeline.span(+button.dataset.span);
    else if (button.id === "theme") deeds.theme();
    else if (button.dataset.at) { const t = +button.dataset.at; timeline.show(t - 5, t + 5); by("timeline").scrollIntoView({ block: "nearest" }); jump(t); }
    else if (button.dataset.show) {
      sheet.show[button.dataset.show] = !sheet.show[button.dataset.show];
      button.setAttribute("aria-pressed", sheet.show[button.dataset.show]);
      sheet.fill();
    } else if (button.dataset.run) {
      sheet.run = +button.dataset.run;
      for (const other of document.querySelectorAll("[data-run]")) other.setAttribute("aria-pressed", other === button);
      sheet.fill();
    }
  });
  if (video) {
    video.addEventListener("error", () => { by("video-note").hidden = false; });
    const follow = () => {
      timeline.playing = video.currentTime;
      if (!video.paused && (video.currentTime < timeline.from || video.currentTime > timeline.to)) {
        const span = timeline.to - timeline.from;
        timeline.show(video.currentTime, video.currentTime + span);
      }
      timeline.draw();
    };
    for (const event of ["timeupdate", "seeked"]) video.addEventListener(event, follow);
  }
  if (matchMedia("(prefers-color-scheme: dark)").matches) { root.dataset.theme = "dark"; timeline.read(); timeline.draw(); }
  spending();
  let wide = by("spending").clientWidth;
  new ResizeObserver(() => {
    const now = by("spending").clientWidth;
    if (Math.abs(now - wide) > 4 && now > 0) { wide = now; chart.setSize({ width: Math.max(200, now), height: 240 }); }
  }).observe(by("spending"));
  // For tests, and for whoever has the console open.
  window.earmark = { timeline, sheet, data };
})();
