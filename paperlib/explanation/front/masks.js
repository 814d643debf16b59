// The mask side of a panel: perturbed pictures, the bar with its handles, scores, the optimiser's curve.
const THRESHOLD = 0.1; // above it a frame counts as masked, as in paperlib.masks
const GRIP = 9; // pixels on each side of an edge where it can be taken

// The runs of masked frames, [first, one past the last].
function runs(mask) {
  const found = [];
  mask.forEach((value, t) => {
    if (value <= THRESHOLD) return;
    if (found.length && found.at(-1)[1] === t) found.at(-1)[1] = t + 1;
    else found.push([t, t + 1]);
  });
  return found;
}

// Draw frame t of the clip frozen by the mask: p[t] = (1 - m[t]) x[t] + m[t] p[t-1], each step one layer of paint.
function paintFrozen(context, images, mask, t, [wide, tall]) {
  let from = t,
    left = 1; // share of the picture that the frames before `from` still have
  while (from > 0 && (left *= mask[from]) > 1 / 512) from--;
  for (let s = from; s <= t; s++) {
    const alpha = s === from ? 1 : 1 - mask[s];
    if (alpha <= 0 || !images[s]) continue;
    context.globalAlpha = alpha;
    context.drawImage(images[s], 0, 0, wide, tall);
  }
  context.globalAlpha = 1;
}

// The frame that stands at time t when every run is played backwards.
function reversed(mask, t) {
  const run = runs(mask).find(([first, end]) => first <= t && t < end);
  return run ? run[0] + run[1] - 1 - t : t;
}

function drawPerturbed(panel) {
  const freeze = panel.kind === "freeze",
    image = freeze ? null : panel.images[reversed(panel.mask, panel.at)],
    context = fill(panel.perturbed, panel.size, image);
  if (freeze) paintFrozen(context, panel.images, panel.mask, panel.at, panel.size);
  if (panel.mask[panel.at] <= THRESHOLD) return;
  context.strokeStyle = ON;
  context.lineWidth = 4;
  context.strokeRect(2, 2, panel.size[0] - 4, panel.size[1] - 4);
}

function drawBar(panel, ink) {
  const height = 34,
    w = panel.width / panel.mask.length,
    context = paper(panel.bar, panel.width, height);
  panel.mask.forEach((value, t) => {
    const on = value > THRESHOLD,
      tall = on ? 6 + 26 * value : 5;
    context.globalAlpha = t === panel.at ? 1 : 0.7;
    context.fillStyle = on ? ON : OFF;
    context.fillRect(t * w, height - tall, w - (w > 20 ? 2 : 0.5), tall);
  });
  context.globalAlpha = 1;
  context.strokeStyle = ink.text;
  context.lineWidth = 1.5;
  context.strokeRect(panel.at * w + 0.75, 1, Math.max(w - (w > 20 ? 3.5 : 2), 1), height - 2);
  placeHandles(panel);
}

// One slider per edge of a run, for keyboard and screen reader as well as for the pointer.
function placeHandles(panel) {
  const edges = runs(panel.mask).flatMap(([first, end]) => [
    { side: "first", at: first, first, end },
    { side: "last", at: end, first, end },
  ]);
  const w = panel.width / panel.mask.length,
    there = panel.handles.children;
  while (there.length > edges.length) there[there.length - 1].remove();
  edges.forEach((edge, k) => {
    const handle =
      there[k] ||
      panel.handles.appendChild(
        make("div", {
          class: "pl-handle",
          role: "slider",
          tabindex: 0,
          onkeydown: (event) => nudge(panel, handle, event),
        }),
      );
    const frame = edge.side === "first" ? edge.first + 1 : edge.end;
    handle.edge = edge;
    handle.style.left = `${clamp(edge.at * w - (edge.side === "last" ? 2 : 0), 0, panel.width)}px`;
    for (const [name, value] of Object.entries({
      label: `${edge.side} masked frame`,
      valuemin: 1,
      valuemax: panel.mask.length,
      valuenow: frame,
    }))
      handle.setAttribute(`aria-${name}`, value);
  });
}

// The mask with one edge of a run moved; what lies between the old and the new place is switched on or off.
function withEdge(mask, edge, to) {
  const changed = mask.slice();
  to = edge.side === "first" ? clamp(to, 0, edge.end - 1) : clamp(to, edge.first + 1, mask.length);
  for (let t = 0; t < mask.length; t++) {
    if (edge.side === "first" && t >= to && t < edge.first) changed[t] = 1;
    if (edge.side === "first" && t >= edge.first && t < to) changed[t] = 0;
    if (edge.side === "last" && t >= edge.end && t < to) changed[t] = 1;
    if (edge.side === "last" && t >= to && t < edge.end) changed[t] = 0;
  }
  return changed;
}

// The mask with one run moved by some frames, values and all.
function withRun(mask, [first, end], by) {
  by = clamp(by, -first, mask.length - end);
  const changed = mask.map((value, t) => (t >= first && t < end ? 0 : value));
  for (let t = first; t < end; t++) changed[t + by] = mask[t];
  return changed;
}

function nudge(panel, handle, event) {
  placeHandles(panel); // keys may come faster than pictures are drawn
  const edge = handle.edge;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
  if (event.key === "Delete" || event.key === "Backspace")
    panel.edit(panel.mask.map((v, t) => (t >= edge.first && t < edge.end ? 0 : v)));
  else if (step) panel.edit(withEdge(panel.mask, edge, edge.at + step));
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// Take an edge or a run, or draw a new run, and follow the pointer until it is let go.
function grab(view, panel, event) {
  if (event.button) return;
  event.preventDefault(); // else the browser may select text and drag that
  event.target.closest(".pl-handle")?.focus({ preventScroll: true });
  const w = panel.width / panel.mask.length,
    x = (e) => (e.clientX - panel.bar.getBoundingClientRect().left) / w;
  const start = x(event),
    before = panel.mask.slice(),
    all = runs(before);
  const near = (at) => Math.abs(at - start) * w <= Math.min(GRIP, w * 0.45);
  const run =
    all.find(([first, end]) => near(first) || near(end)) || all.find(([first, end]) => first <= start && start < end);
  const move = (e) => {
    if (run && (near(run[0]) || near(run[1]))) {
      const side = Math.abs(run[0] - start) < Math.abs(run[1] - start) ? "first" : "last";
      return withEdge(before, { side, first: run[0], end: run[1] }, Math.round(x(e)));
    }
    if (run) return withRun(before, run, Math.round(x(e) - start));
    const [a, b] = [start, x(e)].sort((p, q) => p - q).map((value) => clamp(Math.floor(value), 0, before.length - 1));
    return before.map((value, t) => (t >= a && t <= b ? 1 : value));
  };
  const follow = (e) => panel.edit(move(e));
  const end = () => {
    panel.dragging = false;
    panel.holder.removeEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) panel.holder.removeEventListener(name, end);
    settle(view, panel);
    view.redraw();
  };
  panel.dragging = true;
  panel.holder.setPointerCapture(event.pointerId);
  panel.holder.addEventListener("pointermove", follow);
  for (const name of ["pointerup", "pointercancel"]) panel.holder.addEventListener(name, end);
  if (!run) follow(event);
}

const CHANGED = { OS: "original", FS: "frozen", RS: "reversed", shuffle: "shuffled", blur: "blurred", mean: "averaged" };

// What the clip's score is of, and the score: as it is, frozen, reversed, and under what else the mask was learned with.
const scored = (masked) =>
  Object.entries({ OS: null, FS: null, RS: null, ...masked.scores }).map(([key, value]) => [CHANGED[key] || key, value]);

function drawScores(panel, ink) {
  const rows = scored(panel.masked),
    width = Math.min(panel.width, 420),
    context = paper(panel.scores, width, 20 * rows.length);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  rows.forEach(([name, value], k) => {
    const y = 10 + 20 * k;
    context.fillStyle = ink.text;
    context.fillText(name, 0, y);
    context.fillText(percent(value), width - 52, y);
    context.strokeStyle = ink.faint;
    context.strokeRect(62.5, y - 6.5, width - 124, 13);
    context.fillStyle = k ? ON : OFF;
    context.fillRect(63, y - 6, (width - 125) * (value || 0), 12);
  });
}

function drawCurve(panel, ink) {
  const { loss } = panel.masked,
    width = 220,
    height = 60,
    context = paper(panel.curve, width, height);
  if (!loss?.length) return;
  const high = Math.max(...loss),
    low = Math.min(...loss),
    span = high - low || 1;
  context.strokeStyle = ink.faint;
  context.strokeRect(0.5, 0.5, width - 1, height - 1);
  context.strokeStyle = "#0072B2";
  context.lineWidth = 1.5;
  context.beginPath();
  loss.forEach((value, k) =>
    context.lineTo(3 + (k / Math.max(loss.length - 1, 1)) * (width - 6), 5 + ((high - value) / span) * (height - 10)),
  );
  context.stroke();
  context.fillStyle = ink.text;
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.fillText(`loss ${loss.at(-1).toFixed(3)}, step ${loss.length}`, width - 6, 14);
}
