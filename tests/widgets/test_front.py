"""The front end alone in a browser, without Jupyter: what it draws, against the library's own arithmetic."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import masks, widgets
from paperlib.data import clips
from paperlib.explanation import artifact
from paperlib.widgets.explorer import Explorer

pytestmark = pytest.mark.browser

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


@pytest.fixture
def show(browser):
    """Return a function that shows a widget in a page of its own."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})

    def shown(widget):
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

    yield shown
    context.close()


def clip(count=8, **arrays):
    """An artifact of smooth frames (JPEG keeps them), 224 x 224."""
    x, y = np.meshgrid(np.linspace(0, 1, 224), np.linspace(0, 1, 224))
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


def drawn(page, name):
    """Return the pixels of a canvas, scaled to 224 x 224."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    data = page.locator(f"canvas[aria-label='{name}']").evaluate("(canvas) => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)).astype(int)


def go(page, frame):
    page.locator(".pl-slider").evaluate(f"(s) => {{ s.value = {frame}; s.dispatchEvent(new Event('input')); }}")


def slide(page, sigma):
    page.get_by_label("sigma").evaluate(f"(s) => {{ s.value = {sigma}; s.dispatchEvent(new Event('input')); }}")


def test_the_perturbed_pictures_are_those_of_the_library(show):
    mask = np.array([0.4, 0, 0.7, 0.3, 1, 1, 0, 0.6], np.float32)
    found = clip(mask=mask)
    page = show(widgets.scrub_masks(found))
    frozen = clips.to_frames(masks.freeze(found.clip, torch.tensor(mask))[0])
    turned = clips.to_frames(masks.reverse(found.clip, torch.tensor(mask))[0])
    inner = np.s_[12:-12, 12:-12]  # inside the frame around masked pictures
    for t in range(8):
        go(page, t)
        page.get_by_label("perturbation").select_option("freeze")
        assert np.abs(drawn(page, "perturbed")[inner] - frozen[t][inner]).mean() < 4
        assert np.abs(drawn(page, "original")[inner] - found.frames[t][inner]).mean() < 4
        page.get_by_label("perturbation").select_option("reverse")
        assert np.abs(drawn(page, "perturbed")[inner] - turned[t][inner]).mean() < 4
    assert page.errors == []


def test_matrix_cells_have_the_colour_of_their_value(show):
    import matplotlib

    matrix = np.arange(64, dtype=np.float32).reshape(8, 8)
    page = show(widgets.scrub_relevance(clip(matrix=matrix)))
    go(page, 3)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    row = page.locator(".pl-matrix").evaluate("""(canvas) => {
        const size = canvas.height / 8, context = canvas.getContext('2d'), cells = [0, 1, 2, 3, 4, 5, 6, 7];
        return cells.map((j) =>
            [...context.getImageData(14 + (j + 0.5) * size, 3.6 * size, 1, 1).data].slice(0, 3)); }""")
    expected = [[round(255 * c) for c in matplotlib.colormaps["viridis"](v / 63)[:3]] for v in matrix[3]]
    assert np.abs(np.array(row) - expected).max() <= 6


def test_edges_and_runs_follow_the_pointer_again_and_again(show):
    page = show(widgets.scrub_masks(clip(mask=np.array([0, 0, 1, 1, 1, 1, 0, 0], np.float32))))
    box = page.locator(".pl-mask").bounding_box()
    cell, y = box["width"] / 8, box["y"] + 15

    def drag(start, end):
        page.mouse.move(box["x"] + start * cell, y)
        page.mouse.down()
        page.mouse.move(box["x"] + end * cell, y, steps=4)
        page.mouse.up()
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        values = [int(handle.get_attribute("aria-valuenow")) for handle in page.locator(".pl-handle").all()]
        return list(zip(values[::2], values[1::2], strict=True))

    assert drag(6, 7) == [(3, 7)]  # the last edge
    assert drag(2, 4) == [(5, 7)]  # the first edge
    assert drag(5.5, 3.5) == [(3, 5)]  # the run
    assert drag(6.5, 7.5) == [(3, 5), (7, 8)]  # a new run
    assert drag(5, 7) == [(3, 8)]  # two runs that meet are one
    page.locator(".pl-handle").first.focus()
    page.keyboard.press("Delete")
    page.wait_for_function("document.querySelectorAll('.pl-handle').length === 0")
    page.locator(".pl-root").press("End")
    page.locator(".pl-root").press("m")
    page.wait_for_function("document.querySelector('.pl-handle')?.getAttribute('aria-valuenow') === '8'")


def keys(page, *names, at=".pl-root"):
    """Press keys faster than the page draws."""
    page.locator(at).first.evaluate(
        """(root, names) => names.forEach((key) =>
        root.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))""",
        names,
    )


def test_keys_that_come_faster_than_pictures_act_where_the_last_one_went(show):
    page = show(widgets.scrub_masks(clip(mask=np.zeros(8, np.float32))))
    keys(page, "End", "m")
    page.wait_for_function(
        "document.querySelector('.pl-handle')?.getAttribute('aria-valuenow') === '8'", timeout=60_000
    )
    keys(page, *["ArrowLeft"] * 4, "ArrowRight", at=".pl-handle")  # its first edge
    page.wait_for_function(
        "document.querySelector('.pl-handle')?.getAttribute('aria-valuenow') === '5'", timeout=60_000
    )
    page = show(widgets.scrub_relevance(clip(matrix=np.ones((8, 8), np.float32))))
    keys(page, "ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp")
    page.get_by_text("row 3 lit").wait_for(timeout=60_000)


def test_while_python_is_busy_only_the_last_question_is_kept(show):
    page = show(widgets.scrub_relevance(clip(matrix=np.ones((8, 8), np.float32))))
    for sigma in (0.9, 0.8, 0.7):
        slide(page, sigma)
    assert [round(asked["sigma"], 3) for asked in page.evaluate("sent")] == [0.9]
    page.evaluate("model.tell('msg:custom', { kind: 'done', of: 'explain', panel: 0 }, [])")
    assert [round(asked["sigma"], 3) for asked in page.evaluate("sent")] == [0.9, 0.7]
    page.evaluate("model.tell('msg:custom', { kind: 'error', of: 'explain', panel: 0, text: 'no such thing' }, [])")
    assert page.get_by_role("status").inner_text() == "no such thing"
    assert not page.locator(".pl-root[aria-busy]").count()


def test_after_a_refusal_the_controls_say_what_is_shown_and_the_next_choice_is_asked(show):
    whole = clip(matrix=np.ones((8, 8), np.float32))
    whole.info["target"] = 1
    page = show(live(widgets.scrub_relevance(whole)))
    chosen = page.get_by_label("class", exact=True).first
    slide(page, 0.7)
    page.evaluate("model.tell('msg:custom', { kind: 'error', of: 'explain', panel: 0, text: 'no such sigma' }, [])")
    assert page.get_by_label("sigma").input_value() == "0.975"
    for wanted in ("a", "a"):  # the same wrong choice again is a choice, too
        chosen.select_option(label=wanted)
        page.evaluate("model.tell('msg:custom', { kind: 'error', of: 'explain', panel: 0, text: 'no such class' }, [])")
        assert page.get_by_role("status").inner_text() == "no such class"
        assert chosen.evaluate("(s) => s.selectedOptions[0].text") == "b"
    assert [asked["target"] for asked in page.evaluate("sent")] == [1, 0, 0]
    assert not page.errors


def tell(page, of=None, kind="done", text=None, act="", **state):
    """Python's answer to a question, at once after the lines `act` of JavaScript; state: what changes with it."""
    page.evaluate(
        """([act, state, answer]) => {
        eval(act);
        for (const [name, value] of Object.entries(state)) {
          model.set(name, [{ ...model.get(name)[0], ...value }]);
          model.tell(`change:${name}`);
        }
        if (answer) model.tell("msg:custom", { panel: 0, ...answer }, []); }""",
        [act, state, of and {"kind": kind, "of": of, **({} if text is None else {"text": text})}],
    )


def asked(page, count, *names):
    """Wait until so many questions were put; return what these entries of each were, "kind" alone by default."""
    page.wait_for_function(f"sent.length >= {count}")
    found = [tuple(one.get(name) for name in names or ("kind",)) for one in page.evaluate("sent")]
    return found if len(names) > 1 else [one for (one,) in found]


def press(*names):
    """JavaScript that presses keys at once."""
    return "".join(
        f'document.querySelector(".pl-root").dispatchEvent(new KeyboardEvent("keydown", {{ key: "{key}" }}));'
        for key in names
    )


def test_an_edit_of_the_mask_outlives_an_answer_to_the_one_before(show):
    page = show(live(widgets.scrub_masks(clip(4, mask=np.zeros(4, np.float32)))))
    keys(page, "m")
    assert asked(page, 1, "mask") == [[1, 0, 0, 0]]
    tell(page, "score", act=press("ArrowRight", "m"), masks={"mask": [1, 0, 0, 0]})
    assert asked(page, 2, "mask")[1:] == [[1, 1, 0, 0]]
    tell(page, "score", "error", "no", act=press("ArrowRight", "m"))  # nor does a refusal undo it
    assert asked(page, 3, "mask")[2:] == [[1, 1, 1, 0]]
    tell(page, "score", "error", "no")
    page.wait_for_function("document.querySelectorAll('.pl-handle').length === 2")
    assert page.locator(".pl-handle").nth(1).get_attribute("aria-valuenow") == "1"  # the last that was taken


def test_an_edit_outlives_the_learning_that_goes_on_meanwhile(show):
    page = show(live(widgets.scrub_masks(clip(4, mask=np.zeros(4, np.float32)))))
    learned = {"masks": {"mask": [0.5, 0.6, 0.7, 0.5], "running": True}}
    tell(page, **learned)
    page.wait_for_function("document.querySelectorAll('.pl-handle').length === 2")
    keys(page, "m")  # frame 1 is masked no more
    tell(page, **learned)
    page.wait_for_timeout(50)
    tell(page, **learned)
    assert np.allclose(asked(page, 1, "mask"), [[0, 0.6, 0.7, 0.5]])
    tell(page, act=press("End", "m"), masks={"mask": [0.9, 0.9, 0.9, 0.9], "running": False})  # before it is scored
    tell(page, "score", masks={"mask": [0, 0.6, 0.7, 0.5]})
    assert np.allclose(asked(page, 2, "mask")[1:], [[0, 0.6, 0.7, 0]])


def test_a_run_that_is_held_while_learning_ends_is_the_learned_one_when_let_go(show):
    page = show(widgets.scrub_masks(clip(4, mask=np.array([0, 1, 1, 0], np.float32))))
    box = page.locator(".pl-mask").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 15)
    page.mouse.down()
    tell(page, masks={"mask": [0, 0, 0, 1]})
    page.mouse.up()
    page.wait_for_function("document.querySelector('.pl-handle').getAttribute('aria-valuenow') === '4'")
    assert not page.evaluate("sent.length")


def test_python_is_asked_in_the_order_in_which_the_user_chose(show):
    """Learning that was asked before the last edit is scored would be ended by it."""
    both = widgets.subject(clip(4, matrix=np.ones((4, 4), np.float32)))
    page = show(live(Explorer([both], ["relevance", "mask"])))
    keys(page, "m")
    assert asked(page, 1) == ["score"]
    click = "document.querySelector('.pl-controls button').click();"
    choose = (
        "const s = document.querySelector('[aria-label=class]'); s.value = 1; s.dispatchEvent(new Event('change'));"
    )
    page.evaluate(press("ArrowRight", "m") + choose + click)
    for question in ("score", "score", "explain", "learn"):
        assert asked(page, 1)[-1] == question
        tell(page, question)
    assert [one["mask"] for one in page.evaluate("sent") if "mask" in one] == [[1, 0, 0, 0], [1, 1, 0, 0]]
    assert not page.locator(".pl-root[aria-busy]").count() and page.errors == []


def test_what_was_chosen_outlives_an_answer_to_the_question_before(show):
    page = show(live(widgets.scrub_relevance(clip(matrix=np.ones((8, 8), np.float32)))))
    slide(page, 0.9)
    page.get_by_label("class", exact=True).select_option(label="b")
    tell(page, "explain", found={"sigma": 0.9})
    slide(page, 0.8)
    tell(page, "explain", found={"target": 1})
    assert asked(page, 3, "target", "sigma") == [(0, 0.9), (1, 0.9), (1, 0.8)]
    tell(page, "explain", found={"target": 1, "sigma": 0.8})
    assert page.get_by_label("sigma").input_value() == "0.8"


def test_without_a_model_an_edited_mask_has_no_scores_rather_than_those_of_the_saved_one(show):
    saved = clip(4, mask=np.ones(4, np.float32))
    saved.info["mask_scores"] = {"OS": 0.9, "FS": 0.4, "RS": 0.3}
    widget = widgets.scrub_masks(saved)
    page = show(widget)
    keys(page, "m")
    assert asked(page, 1, "kind", "mask") == [("score", [0, 1, 1, 1])]
    widget.send = lambda *_: None
    widget._asked(None, page.evaluate("sent[0]"), [])
    assert widget.masks[0]["mask"] == [0, 1, 1, 1] and not widget.masks[0]["scores"]
    tell(page, "score", masks=widget.masks[0])
    assert "frozen –" in page.locator("[aria-label^='score of the class']").get_attribute("aria-label")


def test_an_upload_ends_at_the_piece_that_python_refuses_and_can_be_tried_again(show, tmp_path):
    page = show(widgets.your_video(checkpoint="x", folder=tmp_path))
    video = {"name": "mine.mp4", "mimeType": "video/mp4", "buffer": bytes(5 << 19)}  # 2.5 MiB: three pieces
    picker = page.get_by_label("upload a video")
    picker.set_input_files(video)
    assert asked(page, 1, "kind", "offset") == [("upload", 0)]
    assert picker.is_disabled()
    tell(page, "upload")
    assert asked(page, 2, "kind", "offset")[1:] == [("upload", 1 << 20)]
    tell(page, "upload", "error", "no space left")
    page.wait_for_timeout(100)
    assert asked(page, 2) == ["upload", "upload"] and page.get_by_role("status").inner_text() == "no space left"
    assert picker.input_value() == "" and picker.is_enabled()
    picker.set_input_files(video)
    for count in (3, 4, 5):
        assert asked(page, count, "offset")[-1] == (count - 3) << 20
        tell(page, "upload")
    assert asked(page, 6, "kind", "file")[5:] == [("open", "uploaded/mine.mp4")] and page.errors == []


def test_a_file_that_cannot_be_read_is_not_opened(show, tmp_path):
    page = show(widgets.your_video(checkpoint="x", folder=tmp_path))
    page.evaluate("() => { Blob.prototype.arrayBuffer = () => Promise.reject(new Error('it is gone')); }")
    page.get_by_label("upload a video").set_input_files({"name": "a.mp4", "mimeType": "", "buffer": b"12"})
    page.get_by_text("a.mp4 cannot be read: it is gone").wait_for()
    assert not page.evaluate("sent.length") and page.errors == []


@pytest.mark.parametrize("sigma", [0.3, 0.9772])  # outside of the slider, between two of its places
def test_another_class_is_asked_with_the_sigma_of_the_first_until_the_slider_is_moved(show, sigma):
    page = show(live(widgets.scrub_relevance(clip(matrix=np.ones((8, 8), np.float32)), sigma=sigma)))
    page.get_by_label("class", exact=True).select_option(label="b")
    tell(page, "explain", found={"target": 1})
    assert page.locator(".pl-number").inner_text() == f"{sigma:.3f}"
    slide(page, 0.8)
    page.get_by_label("class", exact=True).select_option(label="a")
    tell(page, "explain", found={"target": 1, "sigma": 0.8})
    tell(page, "explain", found={"target": 0, "sigma": 0.8})
    assert asked(page, 3, "target", "sigma") == [(1, sigma), (1, 0.8), (0, 0.8)]


def test_maps_of_the_class_before_do_not_stay_where_they_are_decoded_last(show):
    page = show(widgets.scrub_masks(clip(2)))
    page.evaluate("""async () => {
        const jpeg = async (colour) => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
          const context = canvas.getContext("2d");
          context.fillStyle = colour;
          context.fillRect(0, 0, 32, 32);
          return new Promise((done) => canvas.toBlob(done, "image/jpeg")).then((blob) => blob.arrayBuffer());
        };
        const real = createImageBitmap, waits = [];
        window.createImageBitmap = async (blob) => {
          if (waits.length < 2) await new Promise((go) => waits.push(go)); // the first class's two maps
          return real(blob);
        };
        for (const colour of ["red", "blue"]) {
          const map = await jpeg(colour);
          model.set("maps", [[map, map]]);
          model.tell("change:maps");
        }
        await new Promise((done) => setTimeout(done, 100));
        waits.forEach((go) => go());
        await new Promise((done) => setTimeout(done, 100)); }""")
    red, _, blue = drawn(page, "Grad-CAM").mean((0, 1))
    assert blue > 240 and red < 15


def test_what_goes_wrong_in_learning_is_said_though_the_question_was_answered_long_ago(show):
    page = show(live(widgets.scrub_masks(clip(4, mask=np.zeros(4, np.float32)))))
    page.get_by_role("button", name="learn mask").click()
    tell(page, "learn")
    tell(page, "learn", "error", "out of memory")
    assert page.get_by_role("status").inner_text() == "out of memory"
    page.get_by_role("button", name="learn mask").click()
    assert page.get_by_role("status").inner_text() == ""
    tell(page, "learn", "error", "out of memory")  # before the answer that it has begun
    tell(page, "learn")
    assert page.get_by_role("status").inner_text() == "out of memory"
    assert not page.locator(".pl-root[aria-busy]").count()
