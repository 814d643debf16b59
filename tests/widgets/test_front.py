"""The front end alone in a browser, without Jupyter: what it draws, against the library's own arithmetic."""

import numpy as np
import pytest
import torch

from paperlib import masks, widgets
from paperlib.data import clips
from paperlib.explanation import examples, plotting

from .alone import clip, drawn, keys

pytestmark = pytest.mark.browser


def go(page, frame):
    page.locator(".pl-slider").evaluate(f"(s) => {{ s.value = {frame}; s.dispatchEvent(new Event('input')); }}")


@pytest.mark.parametrize("shape", [(224, 224), (64, 192), (192, 64)], ids=["square", "wide", "tall"])
def test_pictures_are_whole_and_the_perturbed_ones_those_of_the_library(show, shape):
    mask = np.array([0.4, 0, 0.7, 0.3, 1, 1, 0, 0.6], np.float32)
    edge = np.s_[..., : shape[1] // 8, :] if shape[1] >= shape[0] else np.s_[:, : shape[0] // 8]  # what a square lost
    found = clip(shape=shape, mask=mask, cam=np.zeros((8, *shape), np.float32))
    found.frames[edge] = 255, 0, 0
    found.info["mask_scores"] = {"OS": 0.9, "FS": 0.4, "RS": 0.5, "blur": 0.25}  # of a mask learned with blur
    page = show(widgets.scrub_masks(found))
    said = page.locator("canvas[aria-label^='score of the class']").get_attribute("aria-label")
    assert said.endswith("original 90.0 %, frozen 40.0 %, reversed 50.0 %, blurred 25.0 %")
    sides = page.locator("canvas[aria-label='original']").bounding_box()
    assert abs(sides["width"] * shape[0] - sides["height"] * shape[1]) <= max(shape)  # to a pixel
    heated = examples.overlay(found.frames, found.arrays["cam"])
    frozen = clips.to_frames(masks.freeze(found.clip, torch.tensor(mask))[0])
    turned = clips.to_frames(masks.reverse(found.clip, torch.tensor(mask))[0])
    inner = np.s_[12:-12, 12:-12]  # inside the frame around masked pictures
    for t in range(8):
        go(page, t)
        page.get_by_label("perturbation").select_option("freeze")
        assert np.abs(drawn(page, "perturbed", shape)[inner] - frozen[t][inner]).mean() < 4
        assert np.abs(drawn(page, "original", shape)[inner] - found.frames[t][inner]).mean() < 4
        assert np.abs(drawn(page, "Grad-CAM", shape)[inner] - heated[t][inner]).mean() < 4
        page.get_by_label("perturbation").select_option("reverse")
        assert np.abs(drawn(page, "perturbed", shape)[inner] - turned[t][inner]).mean() < 4
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


@pytest.mark.parametrize("least", [-1e-7, -1], ids=["rounding", "signed"])
def test_matrix_and_outline_have_the_colours_of_the_librarys_pictures(show, least):
    """Rounding below 0 turned the page's matrix purple and orange; on its white zeros the outline was white."""
    import matplotlib

    matrix = np.zeros((8, 8), np.float32)
    matrix[3, [1, 3]], matrix[7, 7] = 1, least  # row 3 has an ATR of 3 frames, 0 in their middle
    axis = matplotlib.figure.Figure().subplots()
    cell = 255 * plotting.heatmap(axis, matrix).to_rgba(matrix)[3, 2, :3]
    plotting.brackets(axis, matrix, [[1, 3]], lw=1)
    outline = 255 * np.array(axis.patches[0].get_edgecolor()[:3])
    assert np.abs(cell - (247 if least == -1 else [68, 1, 84])).max() < 2
    page = show(widgets.scrub_relevance(clip(matrix=matrix)))
    go(page, 0)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    column = page.locator(".pl-matrix").evaluate("""(canvas) => {
        const size = canvas.height / 8, context = canvas.getContext('2d');
        const tall = [...Array(Math.round(size)).keys()].map((y) => Math.round(2.5 * size) + y);
        return tall.map((y) => [...context.getImageData(14 + 2.5 * size, y, 1, 1).data].slice(0, 3)); }""")
    column = np.array(column) / 0.7  # from the middle of row 2 to that of row 3, both of which step back
    assert np.abs(column[[0, -1]] - cell).max() <= 6
    towards = (column - cell) @ (outline - cell) / ((outline - cell) @ (outline - cell))
    assert 0.3 < towards.max() < 1 and towards.min() > -0.05


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
    page.locator(".pl-root").press("M")  # as the help writes it
    page.wait_for_function("document.querySelectorAll('.pl-handle').length === 0")


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
