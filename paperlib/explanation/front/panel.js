// One panel: a clip before a model, with the pictures and controls of the widget's features.

function rebuild(view) {
  pause(view);
  forget(view);
  const clips = view.model.get("clips") || [],
    features = view.model.get("features");
  view.panels = clips.map((clip, number) => buildPanel(view, clip, number, features));
  view.transport.hidden = !view.panels.length;
  if (view.transport.hidden) say(view, "name a video file or upload one, then analyse it");
  view.area.replaceChildren(...view.panels.map((panel) => panel.body));
  view.count = Math.max(1, ...clips.map((clip) => clip.frames.length));
  view.slider.max = view.count - 1;
  if (view.count > 16 && view.rate === 4) view.rate = 12;
  view.root.querySelector("[aria-label='frames per second']").value = view.rate;
  view.frame = clamp(view.model.get("frame"), 0, view.count - 1);
  view.root.dataset.ready = "";
  refresh(view);
  remap(view);
  measure(view);
  const panels = view.panels;
  Promise.all(panels.map(async (panel) => (panel.images = await decode(panel.clip.frames)))).then(() => {
    if (view.panels !== panels) return; // another clip was opened meanwhile
    view.root.dataset.ready = "true";
    measure(view); // now the pictures' shape is known
  });
}

// What was chosen for the clip before is not asked about the next one.
function forget(view) {
  for (const panel of view.panels) clearTimeout(panel.soon);
  for (const [key, { kind }] of view.later) if (["explain", "score", "learn"].includes(kind)) view.later.delete(key);
}

function buildPanel(view, clip, number, features) {
  const panel = {
    clip,
    number,
    images: [],
    cams: [],
    row: 0,
    at: 0,
    pinned: null,
    kind: "freeze",
    mask: clip.frames.map(() => 0),
    masked: {},
  };
  const title = make("h4", { "data-text": "" }, `${clip.model} · ${clip.title}`);
  const controls = make("div", { class: "pl-controls" });
  const tiles = make("div", { class: "pl-tiles" });
  panel.body = make(
    "section",
    { class: "pl-panel", "aria-label": `${clip.model} on ${clip.title}` },
    title,
    controls,
    tiles,
  );
  const tile = (name, label, attributes = {}) => {
    panel[name] = make("canvas", { role: "img", "aria-label": label, ...attributes });
    const caption = make("figcaption", { "data-text": "" }, label);
    tiles.append(make("figure", {}, panel[name], caption));
    return caption;
  };
  const without = clip.without || [], // what was left out when a page was made
    maps = features.includes("mask") && !without.includes("cam"),
    masks = features.includes("mask") && !without.includes("mask");
  tile("picture", maps || masks ? "original" : "frame");
  if (maps) tile("cam", "Grad-CAM");
  if (masks) {
    panel.kind_label = tile("perturbed", "frozen by the mask", { "aria-label": "perturbed" });
  }
  addClass(view, panel, controls);
  if (features.includes("relevance")) addRelevance(view, panel, controls, tile);
  panel.strip = make("canvas", {
    class: "pl-strip",
    role: "img",
    "aria-label": "all frames",
    onpointerdown: (event) => scrub(view, panel, event),
  });
  panel.body.append(panel.strip);
  if (masks) addMask(view, panel, controls);
  if (panel.atr_label) panel.strip.after(panel.atr_label);
  return panel;
}

function addClass(view, panel, controls) {
  const { classes, live, targets } = panel.clip; // a page has only the classes that were computed
  panel.target = choice(
    "class",
    (targets || [...classes.keys()]).map((k) => [k, classes[k]]),
    0,
    () => explain(view, panel),
  );
  panel.target.disabled = !live && !(targets?.length > 1);
  panel.score_label = make("span", { class: "pl-score", "data-text": "" });
  controls.append(make("label", {}, "class ", panel.target), panel.score_label);
}

function addRelevance(view, panel, controls, tile) {
  panel.row_label = tile("matrix", "relevance matrix", {
    class: "pl-matrix",
    onclick: (event) => jump(view, panel, cellAt(panel, event)),
    onpointermove: (event) => tell(panel, cellAt(panel, event)),
    onpointerleave: () => (panel.matrix.title = ""),
  });
  panel.atr_label = make("div", { class: "pl-atr", "data-text": "" });
  panel.method = choice(
    "method",
    [
      ["clrp", "CLRP"],
      ["lrp", "LRP"],
    ],
    "clrp",
    () => explain(view, panel),
  );
  panel.method.disabled = !panel.clip.live;
  panel.sigma = make("input", {
    type: "range",
    min: 0.5,
    max: 1,
    step: 0.005,
    value: 0.975,
    class: "pl-sigma",
    "aria-label": "sigma",
    title: "share of a row's relevance that its ATR segment holds",
    oninput: () => {
      panel.share = Number(panel.sigma.value);
      explain(view, panel);
    },
  });
  panel.sigma.disabled = panel.clip.sigmas === false;
  panel.sigma_label = make("span", { class: "pl-number" });
  controls.append(panel.method, make("label", {}, "σ ", panel.sigma, panel.sigma_label));
}

function explain(view, panel) {
  askMask(view, panel);
  const target = Number(panel.target.value),
    method = panel.method?.value,
    sigma = panel.share;
  if (panel.sigma_label && sigma) panel.sigma_label.textContent = sigma.toFixed(3);
  ask(view, "explain", panel.number, { target, method, sigma });
}

// A cell is frame j of logit i: show that frame, and hold that row where it is not the frame's own.
function jump(view, panel, cell) {
  if (!cell) return;
  pause(view);
  const own = Math.floor(((cell.column + 0.5) * panel.found.rows) / panel.found.columns);
  panel.pinned = cell.row === own ? null : cell.row;
  goTo(view, Math.floor(((cell.column + 0.5) * view.count) / panel.clip.frames.length));
}

function tell(panel, cell) {
  if (!cell) return void (panel.matrix.title = "");
  const { values, columns } = panel.found,
    line = values.subarray(cell.row * columns, (cell.row + 1) * columns);
  const total = line.reduce((a, b) => a + b, 0),
    value = line[cell.column];
  panel.matrix.title =
    `logit ${cell.row + 1}, frame ${cell.column + 1}: ${value.toPrecision(3)}` +
    (total ? `, ${percent(value / total)} of the row` : "");
}

function scrub(view, panel, event) {
  const move = (e) => {
    const share = (e.clientX - panel.strip.getBoundingClientRect().left) / panel.width;
    pause(view);
    goTo(view, clamp(Math.floor(share * view.count), 0, view.count - 1));
  };
  event.preventDefault();
  view.root.focus({ preventScroll: true });
  panel.strip.setPointerCapture(event.pointerId);
  panel.strip.onpointermove = move;
  panel.strip.onpointerup = panel.strip.onpointercancel = () => (panel.strip.onpointermove = null);
  move(event);
}

function addMask(view, panel, controls) {
  const page = view.model.get("page"),
    answering = panel.clip.live || page;
  panel.learn_label = page ? "learned mask" : "learn mask";
  panel.bar = make("canvas", { class: "pl-mask", role: "img", "aria-label": "mask" });
  panel.handles = make("div", { class: "pl-handles", role: "group", "aria-label": "edges of the mask" });
  panel.holder = make(
    "div",
    {
      class: "pl-holder",
      title: "drag an edge, drag a run, or draw a new one; Delete removes the run of the focused edge",
      onpointerdown: (event) => grab(view, panel, event),
    },
    panel.bar,
    panel.handles,
  );
  panel.scores = make("canvas", { role: "img" });
  panel.curve = make("canvas", { role: "img", "aria-label": "loss of the optimiser" });
  panel.edit = (mask) => {
    panel.mask = mask;
    view.redraw();
    clearTimeout(panel.soon);
    panel.soon = setTimeout(() => askMask(view, panel), 80);
  };
  const kind = choice(
    "perturbation",
    [
      ["freeze", "freeze"],
      ["reverse", "reverse"],
    ],
    "freeze",
    (value) => {
      panel.kind = value;
      panel.kind_label.textContent = value === "freeze" ? "frozen by the mask" : "reversed by the mask";
      view.redraw();
    },
  );
  panel.learn = make(
    "button",
    {
      type: "button",
      disabled: !answering,
      onclick: () => {
        if (panel.masked.running) return void view.model.send({ kind: "stop", panel: panel.number });
        askMask(view, panel);
        ask(view, "learn", panel.number, { perturbation: panel.kind });
      },
    },
    panel.learn_label,
  );
  const clear = make("button", { type: "button", onclick: () => panel.edit(panel.mask.map(() => 0)) }, "clear");
  controls.append(kind, panel.learn, clear);
  panel.body.append(panel.holder, make("div", { class: "pl-results" }, panel.scores, panel.curve));
}

// Edits are asked about when they rest for a moment, and before anything that is asked later.
function askMask(view, panel) {
  if (!panel.soon) return;
  clearTimeout(panel.soon);
  panel.soon = null;
  ask(view, "score", panel.number, { mask: panel.mask });
}

// Take over what Python has found since: matrices, scores, masks.
function refresh(view) {
  const found = view.model.get("found") || [],
    masks = view.model.get("masks") || [];
  for (const panel of view.panels) {
    if (panel.raw !== found[panel.number]) showFound(panel, (panel.raw = found[panel.number]));
    if (panel.bar && masks[panel.number]) showMask(panel, masks[panel.number]);
    settle(view, panel);
  }
  view.redraw();
}

function showFound(panel, found) {
  if (!found) return;
  panel.found = panel.matrix ? unpackFound(found) : null;
  if (panel.pinned != null && panel.found) panel.pinned = clamp(panel.pinned, 0, panel.found.rows - 1);
  const guess = found.predicted === found.target ? "predicted" : `predicted: ${panel.clip.classes[found.predicted]}`;
  const rather = found.against == null ? "" : `rather than ${panel.clip.classes[found.against]}; `;
  panel.score_label.textContent = `${rather}score ${percent(found.score)} (${guess})`;
}

function showMask(panel, masked) {
  if (panel.masked === masked) return;
  panel.masked = masked;
  panel.learn.textContent = masked.running ? "stop" : panel.learn_label;
  const said = scored(masked).map(([name, value]) => `${name} ${percent(value)}`);
  panel.scores.setAttribute("aria-label", `score of the class: ${said.join(", ")}`);
}

// Controls and mask say what Python has found, unless the user has chosen since and has no answer yet.
function settle(view, panel) {
  const { raw, found, masked, number } = panel;
  if (raw && !pending(view, `explain ${number}`)) {
    panel.target.value = raw.target;
    if (found) {
      panel.method.value = found.method;
      panel.share = found.sigma; // which the slider rounds to its steps
      panel.sigma.value = found.sigma;
      panel.sigma_label.textContent = found.sigma.toFixed(3);
    }
  }
  const edited = panel.dragging || panel.soon || pending(view, `score ${number}`);
  if (panel.bar && masked.mask && !edited) panel.mask = masked.mask.slice();
}

function remap(view) {
  const current = (panel) => (view.model.get("maps") || [])[panel.number];
  for (const panel of view.panels.filter((p) => p.cam)) {
    const maps = current(panel);
    decode(maps).then((images) => {
      if (current(panel) !== maps) return; // meanwhile there are those of another class
      panel.cams = images;
      view.redraw();
    });
  }
}
