"""A widget alone in a page of the browser, without Jupyter: the page, its clip, and what a user does there."""

import base64
import io
import json

import numpy as np
from PIL import Image

from paperlib.explanation import artifact

HOST = """
function unpack(value) {
  if (value?.bytes !== undefined)
    return new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
  if (Array.isArray(value)) return value.map(unpack);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpack(v)]));
}
const state = unpack(STATE), heard = {};
window.sent = [];
window.model = { get: (k) => state[k], set: (k, v) => { state[k] = v; }, save_changes() {}, off() {},
  send: (content, _, buffers) => sent.push(content), on: (name, act) => (heard[name] ||= []).push(act),
  tell: (name, ...what) => (heard[name] || []).forEach((act) => act(...what)) };
const code = new Blob([document.getElementById("code").textContent], { type: "text/javascript" });
const module = await import(URL.createObjectURL(code));
module.default.render({ model, el: document.getElementById("here") });
"""


def packed(value):
    """Return a trait's value as JSON, bytes in base64."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: packed(v) for key, v in value.items()}
    return [packed(v) for v in value] if isinstance(value, list | tuple) else value


def shown(context, widget):
    """Open a page that shows a widget, and in the place of Python `model` and `sent`, what was asked."""
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    names = ("features", "clips", "maps", "found", "masks", "frame", "files", "checkpoints", "chosen")
    state = json.dumps({name: packed(getattr(widget, name)) for name in names if widget.has_trait(name)})
    page.set_content(
        f"<style>{widget._css}</style><div id=here></div>"
        f"<script type=text/plain id=code>{widget._esm}</script>"
        f"<script type=module>{HOST.replace('STATE', state)}</script>"
    )
    page.wait_for_selector("[data-ready=true]")
    return page


def clip(count=8, shape=(224, 224), **arrays):
    """An artifact of smooth frames (JPEG keeps them) of a shape (height, width)."""
    x, y = np.meshgrid(np.linspace(0, 1, shape[1]), np.linspace(0, 1, shape[0]))
    frames = np.stack(
        [np.stack([127 + 100 * np.sin(3 * x + t), 250 * y * t / count, 30 * t + 0 * x], -1) for t in range(count)]
    ).astype(np.uint8)
    info = dict(video="made", model="none", classes=["a", "b"], target=0, predicted=0, method="clrp")
    found = {"scores": np.array([0.9, 0.1]), "frame_logits": np.ones((count, 2)), **arrays}
    return artifact.Artifact(frames, info, found)


def live(widget):
    """The same widget, for the browser with somebody who answers."""
    widget.clips = [{**widget.clips[0], "live": True}]
    return widget


def drawn(page, name, shape=(224, 224)):
    """Return the pixels of a canvas, scaled to a shape (height, width)."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    data = page.locator(f"canvas[aria-label='{name}']").evaluate("(canvas) => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB").resize(shape[::-1], Image.Resampling.BILINEAR)).astype(int)


def slide(page, sigma):
    page.get_by_label("sigma").evaluate(f"(s) => {{ s.value = {sigma}; s.dispatchEvent(new Event('input')); }}")


def keys(page, *names, at=".pl-root"):
    """Press keys faster than the page draws."""
    page.locator(at).first.evaluate(
        """(root, names) => names.forEach((key) =>
        root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))""",
        names,
    )
