// One view: panels side by side that share one position in time, one animation loop and one way to ask Python.

const KEYS =
  "← → step, Home End first and last frame, Space play or pause, ↑ ↓ row of the matrix, " +
  "Esc row follows frame, " +
  "M mask this frame";

function render({ model, el }) {
  const view = { model, panels: [], frame: model.get("frame"), playing: false, rate: 4, tinted: true };
  view.later = new Map(); // questions that wait until the one before is answered
  view.root = make("div", {
    class: "pl-root",
    tabindex: 0,
    role: "group",
    "aria-label": `video explorer; keys: ${KEYS}`,
    "data-lm-suppress-shortcuts": "true",
    onkeydown: (event) => keyed(view, event),
  });
  view.area = make("div", { class: "pl-panels" });
  view.status = make("div", { class: "pl-status", role: "status", "aria-live": "polite" });
  startLoop(view);
  view.transport = transport(view);
  view.root.append(...[opening(view), view.transport, view.area, view.status].filter(Boolean));
  el.append(view.root);
  const listeners = {
    "change:clips": () => rebuild(view),
    "change:found": () => refresh(view),
    "change:masks": () => refresh(view),
    "change:maps": () => remap(view),
    "change:frame": () => view.playing || goTo(view, model.get("frame"), false),
    "msg:custom": (content, buffers) => answered(view, content, buffers),
  };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  const resized = new ResizeObserver(() => measure(view));
  resized.observe(view.area);
  const themed = new MutationObserver(() => view.redraw());
  themed.observe(document.body, { attributes: true });
  rebuild(view);
  return () => {
    view.playing = false;
    resized.disconnect();
    themed.disconnect();
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
  };
}

// The one animation loop: it runs while something plays or has changed, and draws each change once.
function startLoop(view) {
  let asked = 0,
    last = 0;
  const tick = (now) => {
    asked = 0;
    if (view.playing && now - last >= 1000 / view.rate) {
      last = now;
      view.frame = (view.frame + 1) % view.count;
      view.dirty = true;
    }
    if (view.dirty) draw(view);
    view.dirty = false;
    if (view.playing) asked = requestAnimationFrame(tick);
  };
  view.redraw = () => {
    view.dirty = true;
    asked ||= requestAnimationFrame(tick);
  };
}

// ---- what is asked of Python: one question at a time, in their order; of a kind that comes again, the last ----

const SAID = { explain: "computing relevance …", open: "opening …", gif: "making the GIF …", learn: "" };

// told: called with whether Python did what was asked.
function ask(view, kind, panel, content = {}, buffers = [], told = () => {}) {
  const key = `${kind} ${panel}`;
  view.later.delete(key); // the last of a kind stands where it was asked, behind what was chosen before it
  view.later.set(key, { key, kind, panel, content, buffers, told });
  if (!view.asked) askNext(view);
}

function askNext(view) {
  const [key] = view.later.keys();
  view.asked = view.later.get(key);
  view.root.toggleAttribute("aria-busy", Boolean(view.asked));
  if (!view.asked) return;
  view.later.delete(key);
  const { kind, panel, content, buffers } = view.asked;
  view.asked.since = setTimeout(() => say(view, "no answer from the kernel yet; is it running?"), 30000);
  if (kind in SAID) say(view, SAID[kind]);
  view.model.send({ kind, panel, ...content }, undefined, buffers);
}

const pending = (view, key) => view.asked?.key === key || view.later.has(key);

function answered(view, content, buffers) {
  const wrong = content.kind === "error",
    mine = view.asked?.key === `${content.of} ${content.panel}`;
  if (wrong && (mine || content.of === "learn")) say(view, content.text, true); // learning is answered when it begins
  if (!mine) return; // asked by another view of the same widget
  const { since, told } = view.asked;
  clearTimeout(since);
  if (!wrong && (content.of in SAID || content.text !== undefined)) say(view, content.text || "");
  if (content.of === "gif" && buffers?.length)
    download(new Blob([buffers[0]], { type: "image/gif" }), `${stem(view)}.gif`);
  askNext(view);
  told(!wrong);
  view.reopened?.();
  for (const panel of view.panels) settle(view, panel);
  view.redraw();
}

function say(view, text, wrong = false) {
  view.status.textContent = text;
  view.status.classList.toggle("pl-wrong", wrong);
}

// ---- the bar that moves through time ----

function transport(view) {
  const button = (label, text, act) =>
    make("button", { type: "button", "aria-label": label, title: label, onclick: act }, text);
  view.play = button("play", icon("play"), () => playPause(view));
  view.slider = make("input", {
    type: "range",
    class: "pl-slider",
    min: 0,
    value: 0,
    "aria-label": "frame",
    oninput: () => {
      pause(view);
      goTo(view, Number(view.slider.value));
    },
  });
  view.count_label = make("span", { class: "pl-count" });
  const rate = choice(
    "frames per second",
    [1, 2, 4, 8, 12, 24].map((r) => [r, `${r} fps`]),
    view.rate,
    (r) => (view.rate = Number(r)),
  );
  const tint = make("input", {
    type: "checkbox",
    checked: true,
    onchange: () => {
      view.tinted = tint.checked;
      view.redraw();
    },
  });
  const tinted = view.model.get("features").includes("relevance") ? make("label", {}, tint, " tint") : null;
  return make(
    "div",
    { class: "pl-bar", role: "toolbar", "aria-label": "playback" },
    button("first frame", icon("first"), () => goTo(view, 0)),
    button("one frame back", icon("back"), () => step(view, -1)),
    view.play,
    button("one frame on", icon("on"), () => step(view, 1)),
    view.slider,
    view.count_label,
    rate,
    tinted,
    button("save what is seen as PNG", "PNG", () => savePicture(view)),
    view.model.get("page") ? null : button("save all frames as GIF", "GIF", () => saveAnimation(view)), // needs Python
    button("save the numbers as JSON", "JSON", () => saveNumbers(view)),
    make("span", { class: "pl-help", title: KEYS, tabindex: 0, role: "note", "aria-label": KEYS }, "keys"),
  );
}

function goTo(view, frame, tell = true) {
  view.frame = clamp(frame, 0, view.count - 1);
  view.redraw();
  if (tell) tellFrame(view);
}

// Python hears of the position when it rests, not at every tick.
function tellFrame(view) {
  clearTimeout(view.telling);
  view.telling = setTimeout(() => {
    view.model.set("frame", view.frame);
    view.model.save_changes();
  }, 200);
}

function step(view, by) {
  pause(view);
  goTo(view, (view.frame + by + view.count) % view.count);
}

function pause(view) {
  if (view.playing) playPause(view);
}

function playPause(view) {
  view.playing = !view.playing && view.count > 1;
  view.play.replaceChildren(icon(view.playing ? "pause" : "play"));
  view.play.setAttribute("aria-label", view.playing ? "pause" : "play");
  view.redraw();
  if (!view.playing) tellFrame(view);
}

function keyed(view, event) {
  const own = event.target.matches("select, input:not(.pl-slider, [type=checkbox])"); // which has uses for its keys
  if (own || event.ctrlKey || event.metaKey || event.altKey || !view.panels.length) return;
  const press = event.target.matches("button, [type=checkbox]") && event.key === " "; // of those the space alone
  const acts = {
    ArrowLeft: () => step(view, -1),
    ArrowRight: () => step(view, 1),
    Home: () => (pause(view), goTo(view, 0)),
    End: () => (pause(view), goTo(view, view.count - 1)),
    " ": () => playPause(view),
    ArrowUp: () => otherRow(view, -1),
    ArrowDown: () => otherRow(view, 1),
    Escape: () => unpin(view),
    m: () => maskHere(view),
  };
  const act = acts[event.key] || acts[event.key.toLowerCase()]; // letters with Shift or Caps Lock, too
  if (press || !act) return;
  for (const panel of view.panels) place(view, panel); // keys may come faster than pictures are drawn
  act();
  event.preventDefault();
  event.stopPropagation();
}

function otherRow(view, by) {
  for (const panel of view.panels.filter((p) => p.found))
    panel.pinned = clamp(panel.row + by, 0, panel.found.rows - 1);
  view.redraw();
}

function unpin(view) {
  for (const panel of view.panels) panel.pinned = null;
  view.redraw();
}

function maskHere(view) {
  for (const panel of view.panels.filter((p) => p.bar))
    panel.edit(panel.mask.map((value, t) => (t === panel.at ? Number(value <= THRESHOLD) : value)));
}

// ---- drawing ----

function draw(view) {
  const ink = inks(view.root);
  for (const panel of view.panels) drawPanel(view, panel, ink);
  view.slider.value = view.frame;
  view.slider.setAttribute("aria-valuetext", `frame ${view.frame + 1} of ${view.count}`);
  view.count_label.textContent = view.panels.length ? `${view.frame + 1} / ${view.count}` : "";
}

// Where a panel stands now: its frame, and the row of its matrix.
function place(view, panel) {
  const count = panel.clip.frames.length;
  panel.at = Math.floor(((view.frame + 0.5) * count) / view.count);
  if (panel.found) panel.row = panel.pinned ?? Math.floor(((panel.at + 0.5) * panel.found.rows) / count);
}

function drawPanel(view, panel, ink) {
  place(view, panel);
  const [wide, tall] = panel.size,
    picture = fill(panel.picture, panel.size, panel.images[panel.at]);
  if (panel.found && view.tinted && !panel.bar) {
    const share = rowOf(panel.found, panel.row)[panel.at];
    picture.strokeStyle = css(colour(share, 1, panel.found.signed));
    picture.lineWidth = 10;
    picture.strokeRect(5, 5, wide - 10, tall - 10);
    picture.fillStyle = css(colour(share, 1, panel.found.signed), 0.15);
    picture.fillRect(0, 0, wide, tall);
  }
  if (panel.cam) fill(panel.cam, panel.size, panel.cams[panel.at] || panel.images[panel.at]);
  drawStrip(panel, ink, view.tinted);
  if (panel.matrix) {
    if (panel.found) drawMatrix(panel, ink);
    panel.atr_label.textContent = panel.found ? atrText(panel) : "no relevance matrix";
    const held = panel.pinned == null ? "" : ", held (Esc lets go)";
    panel.row_label.textContent = panel.found
      ? `${panel.found.parts ? "parts of the logit" : "frame logits"} i × input frames j, their values at the right; row ${panel.row + 1} lit${held}`
      : "";
    panel.matrix.setAttribute(
      "aria-label",
      panel.found
        ? `relevance matrix, ${panel.found.rows} logits by ${panel.found.columns} frames; ${panel.atr_label.textContent}`
        : "",
    );
  }
  if (panel.bar) {
    drawPerturbed(panel);
    drawBar(panel, ink);
    drawScores(panel, ink);
    drawCurve(panel, ink);
  }
}

function measure(view) {
  for (const panel of view.panels) {
    const room = Math.floor(panel.body.clientWidth),
      count = panel.clip.frames.length;
    panel.width = Math.max(Math.min(room, count * 114), 200);
    const beside = MARGIN + BARS + 12,
      both = panel.cam && panel.matrix,
      wide = room >= 1100;
    if (both) panel.side = clamp(Math.floor(wide ? (room - 36 - beside) / 4 : (room - 24) / 3), 100, 260);
    else
      panel.side = clamp(
        Math.floor(panel.matrix ? (room - beside) / 2 : (room - 24) / 3),
        100,
        panel.matrix ? 320 : 260,
      );
    panel.edge = both && !wide ? clamp(room - beside, 100, 260) : panel.side;
    const { width: w, height: h } = panel.images[0] || { width: 1, height: 1 }; // a square until they are decoded
    panel.size = [w, h].map((length) => Math.max(1, Math.round((panel.side * length) / Math.max(w, h))));
  }
  view.redraw();
}

export default { render };
