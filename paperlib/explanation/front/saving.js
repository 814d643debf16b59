// Saving what is seen: the panels as one picture, all frames as a GIF (put together by Python), the numbers as JSON.

function compose(view, scale) {
  const box = view.area.getBoundingClientRect(),
    canvas = make("canvas", { width: Math.round(box.width * scale), height: Math.round(box.height * scale) });
  const context = canvas.getContext("2d"),
    ink = inks(view.root);
  context.fillStyle = ink.back;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(scale, scale);
  for (const part of view.area.querySelectorAll("canvas, [data-text]")) {
    const at = part.getBoundingClientRect(),
      x = at.left - box.left,
      y = at.top - box.top;
    if (part.tagName === "CANVAS") {
      context.drawImage(part, x, y, at.width, at.height);
      continue;
    }
    context.font = getComputedStyle(part).font;
    context.fillStyle = ink.text;
    context.textBaseline = "middle";
    context.fillText(part.textContent, x, y + at.height / 2, Math.max(at.width, 10));
  }
  for (const { target } of view.panels) {
    // the menu's choice is text, too
    const at = target.getBoundingClientRect();
    context.font = getComputedStyle(target).font;
    context.fillText(
      `class: ${target.selectedOptions[0]?.text || ""}`,
      at.left - box.left,
      at.top - box.top + at.height / 2,
      at.width,
    );
  }
  return canvas;
}

const blobOf = (canvas, type, quality) => new Promise((done) => canvas.toBlob(done, type, quality));

async function savePicture(view) {
  draw(view);
  download(
    await blobOf(compose(view, window.devicePixelRatio || 1), "image/png"),
    `${stem(view)}_frame${view.frame + 1}.png`,
  );
}

// All pictures are drawn at once and encoded side by side: a busy browser encodes each only when it is idle.
async function saveAnimation(view) {
  pause(view);
  const here = view.frame,
    scale = Math.min(1, 800 / view.area.clientWidth),
    kind = view.count > 24 ? "image/jpeg" : "image/png",
    pictures = [];
  for (view.frame = 0; view.frame < view.count; view.frame++) {
    draw(view);
    pictures.push(blobOf(compose(view, scale), kind, 0.92).then((blob) => blob.arrayBuffer()));
  }
  goTo(view, here, false);
  ask(view, "gif", 0, { milliseconds: Math.round(1000 / view.rate) }, await Promise.all(pictures));
}

function numbers(view) {
  return view.panels.map((panel) => {
    const { clip, found, raw, masked } = panel,
      lines =
        found &&
        Array.from({ length: found.rows }, (_, i) =>
          Array.from(found.values.subarray(i * found.columns, (i + 1) * found.columns)),
        );
    return {
      video: clip.title,
      model: clip.model,
      source_frames: clip.indices,
      frame: panel.at + 1,
      class: clip.classes[raw?.target],
      score: raw?.score,
      predicted: clip.classes[raw?.predicted],
      ...(found && {
        logit: panel.row + 1,
        method: found.method,
        sigma: found.sigma,
        frame_logits: found.logits,
        relevance: lines,
        atr: found.atr,
        atr_segments: found.segments,
        avg_atr: found.avg,
        max_atr: found.max,
      }),
      ...(panel.bar && { mask: panel.mask, mask_scores: masked.scores, loss: masked.loss }),
    };
  });
}

function saveNumbers(view) {
  download(new Blob([JSON.stringify(numbers(view), null, 1)], { type: "application/json" }), `${stem(view)}.json`);
}
