// The relevance side of a panel: matrix, frame logits, tinted strip with the ATR segment.

// The matrix as one small picture, a pixel per cell; scaled up without smoothing when drawn.
function matrixPicture(found) {
  const { rows, columns, values, largest, signed } = found;
  const canvas = make("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d"),
    pixels = context.createImageData(columns, rows);
  values.forEach((value, k) => pixels.data.set([...colour(value, largest, signed), 255], 4 * k));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function unpackFound(found) {
  if (!found?.matrix) return null;
  const bytes = found.matrix.buffer ? found.matrix : new DataView(found.matrix);
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const ready = { ...found, values, largest };
  return { ...ready, picture: matrixPicture(ready) };
}

// Relevance of every frame for a row, divided by the row's largest.
function rowOf(found, row) {
  const values = found.values.subarray(row * found.columns, (row + 1) * found.columns);
  const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return Array.from(values, (v) => (largest ? v / largest : 0));
}

const MARGIN = 14,
  BARS = 64; // pixels at the left of the matrix for the marker, at the right for the logits

function drawMatrix(panel, ink) {
  const { found, edge: size } = panel,
    left = MARGIN,
    context = paper(panel.matrix, left + size + BARS, size);
  context.imageSmoothingEnabled = false;
  context.drawImage(found.picture, left, 0, size, size);
  const h = size / found.rows,
    w = size / found.columns,
    row = panel.row,
    y = row * h;
  context.lineWidth = 1;
  context.strokeStyle = found.signed ? "rgba(0,0,0,0.75)" : "rgba(255,255,255,0.75)"; // 0 is white between two signs
  found.segments.forEach(([first, last], i) => {
    if (first >= 0 && h >= 5) context.strokeRect(left + first * w + 1, i * h + 1, (last - first + 1) * w - 2, h - 2);
  });
  context.fillStyle = "rgba(0,0,0,0.3)"; // all but the current row steps back
  context.fillRect(left, 0, size, y);
  context.fillRect(left, y + h, size, size - y - h);
  context.strokeStyle = HERE;
  context.lineWidth = 2;
  context.strokeRect(left + 1, y + 1, size - 2, Math.max(h - 2, 1));
  context.strokeRect(left + panel.at * w + 1, y + 1, Math.max(w - 2, 1), Math.max(h - 2, 1));
  context.fillStyle = HERE;
  context.beginPath();
  context.moveTo(left - 9, y + h / 2 - 5);
  context.lineTo(left - 9, y + h / 2 + 5);
  context.lineTo(left - 2, y + h / 2);
  context.fill();
  drawLogits(context, found, row, left + size + 8, BARS - 8, h, ink);
}

// A bar for the class's logit at every output step, beside its row.
function drawLogits(context, found, row, x, width, h, ink) {
  const low = Math.min(0, ...found.logits),
    high = Math.max(0, ...found.logits, 1e-9);
  const zero = x + ((0 - low) / (high - low)) * width;
  found.logits.forEach((logit, i) => {
    const end = x + ((logit - low) / (high - low)) * width;
    context.fillStyle = i === row ? HERE : ink.faint;
    context.fillRect(Math.min(zero, end), i * h + 1, Math.max(Math.abs(end - zero), 1), Math.max(h - 2, 1));
  });
  context.fillStyle = ink.text;
  context.fillRect(zero - 0.5, 0, 1, h * found.rows);
}

// Draw a picture so that it fills a box of the strip, cut at the sides where the shapes differ.
function cover(context, image, x, y, w, h) {
  if (!image) return;
  const scale = Math.min(image.width / w, image.height / h),
    sw = w * scale,
    sh = h * scale;
  context.drawImage(image, (image.width - sw) / 2, (image.height - sh) / 2, sw, sh, x, y, w, h);
}

// The frames of the strip, scaled down once for a size of the strip.
function film(panel, w, thumb) {
  const key = `${w} ${thumb} ${panel.images.length} ${window.devicePixelRatio}`;
  if (panel.film?.key === key) return panel.film;
  const canvas = make("canvas"),
    context = paper(canvas, panel.width, thumb);
  panel.clip.frames.forEach((_, j) => cover(context, panel.images[j], j * w, 0, w - (w > 20 ? 2 : 0.5), thumb));
  return (panel.film = { key, canvas });
}

// All frames in a row, tinted by their relevance for the current row; below them how much, and the ATR segment.
function drawStrip(panel, ink, tinted) {
  const { found, clip, strip } = panel,
    count = clip.frames.length,
    w = panel.width / count;
  const thumb = clamp(w, 38, 112),
    under = found ? 34 : 6,
    context = paper(strip, panel.width, thumb + under);
  const shares = found ? rowOf(found, panel.row) : null;
  context.drawImage(film(panel, w, thumb).canvas, 0, 0, panel.width, thumb);
  for (let j = 0; j < count; j++) {
    if (!shares) break;
    const shade = colour(shares[j], 1, found.signed),
      strength = Math.abs(shares[j]);
    if (tinted) {
      context.fillStyle = css(shade, 0.5);
      context.fillRect(j * w, 0, w - (w > 20 ? 2 : 0.5), thumb);
    }
    context.fillStyle = css(shade);
    context.fillRect(j * w + 1, thumb + 20 - 18 * strength, Math.max(w - 3, 1), 18 * strength);
  }
  context.strokeStyle = HERE;
  context.lineWidth = 3;
  context.strokeRect(panel.at * w + 1.5, 1.5, Math.max(w - (w > 20 ? 5 : 3), 1), thumb - 3);
  if (found) drawSegment(context, panel, w, thumb + 21, ink);
}

function drawSegment(context, panel, w, y, ink) {
  const [first, last] = panel.found.segments[panel.row] || [-1, -1];
  context.fillStyle = ink.faint;
  context.fillRect(0, y - 1, panel.width, 1);
  if (first < 0) return;
  const x = first * w,
    end = (last + 1) * w - 2;
  context.fillStyle = ink.text;
  context.fillRect(x, y + 4, end - x, 3);
  context.fillRect(x, y + 1, 2, 9);
  context.fillRect(end - 2, y + 1, 2, 9);
}

function atrText(panel) {
  const { found } = panel,
    atr = found.atr[panel.row];
  const own =
    atr == null ? "no relevance in this row" : `ATR of logit ${panel.row + 1}: ${atr} of ${found.columns} frames`;
  return `${own} · avg-ATR ${found.avg?.toFixed(2) ?? "–"} · max-ATR ${found.max ?? "–"}`;
}

// The cell under a pointer event, or null.
function cellAt(panel, event) {
  const box = panel.matrix.getBoundingClientRect(),
    size = panel.edge;
  const x = event.clientX - box.left - MARGIN,
    y = event.clientY - box.top;
  if (x < 0 || x >= size || y < 0 || y >= size) return null;
  return { row: Math.floor((y / size) * panel.found.rows), column: Math.floor((x / size) * panel.found.columns) };
}
