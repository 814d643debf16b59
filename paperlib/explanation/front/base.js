// Helpers of all parts: elements, canvases, colours. VIRIDIS and PUOR are put in front of this file by Python.
const ON = "#D55E00",
  OFF = "#009E73",
  HERE = "#E69F00"; // Okabe and Ito: vermilion, green, orange

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Icons are drawn, since fonts differ in which of these signs they have.
const ICONS = {
  first: "M3 3h2v10H3zM13 3v10L6 8z",
  back: "M11 3v10L4 8z",
  play: "M4 3v10l9-5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  on: "M3 3v10l6-5zM10 3h2v10h-2z",
};

function icon(name) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }))
    drawing.setAttribute(key, value);
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill", "currentColor");
  drawing.append(path);
  return drawing;
}

function choice(label, options, chosen, changed) {
  const select = make("select", { "aria-label": label, title: label, onchange: () => changed(select.value) });
  for (const [value, text] of options)
    select.append(new Option(text, value, false, String(value) === String(chosen)));
  return select;
}

// Give a canvas the size it has on screen, in device pixels, and return its context in CSS pixels.
function paper(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(width * ratio)),
    h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  return context;
}

// Give a canvas a size and a picture, if there is one, that fills it; return its context.
function fill(canvas, [width, height], image) {
  const context = paper(canvas, width, height);
  if (image) context.drawImage(image, 0, 0, width, height);
  return context;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Colour of a relevance value: viridis from 0 to the largest; of a signed matrix, purple to orange around 0.
function colour(value, largest, signed) {
  const share = largest > 0 ? value / largest : 0;
  const table = signed ? PUOR : VIRIDIS;
  return table[Math.round(clamp(signed ? 0.5 + share / 2 : share, 0, 1) * (table.length - 1))];
}

const css = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;

function inks(root) {
  const style = getComputedStyle(root);
  return {
    text: style.getPropertyValue("--pl-ink").trim() || "#222",
    faint: style.getPropertyValue("--pl-line").trim() || "#bbb",
    back: style.getPropertyValue("--pl-back").trim() || "#fff",
  };
}

async function decode(buffers) {
  return Promise.all((buffers || []).map((view) => createImageBitmap(new Blob([view], { type: "image/jpeg" }))));
}

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(1)} %`);
const stem = (view) =>
  (view.panels[0]?.clip.title || "clip")
    .replace(/\.\w+$/, "")
    .replace(/[^\w-]+/g, "_")
    .slice(0, 60);
