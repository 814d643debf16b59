"""The page of its own: one file that asks for nothing, driven in a real browser with the network cut."""

import re

import numpy as np
import pytest
import torch

import paperlib
from paperlib import masks, models, relevance
from paperlib.data import clips
from paperlib.explanation import page as pages

NAMES = ["left", "right & <b>bold</b>", "still"]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    net = models.create("TSM-R18-f8", num_classes=3, width=4).eval()
    with torch.no_grad():
        net.fc.weight.mul_(20)
    return net


@pytest.fixture(scope="module")
def found(network):
    x, y = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64))
    frames = np.stack(
        [np.stack([127 + 100 * np.sin(5 * x + t), 250 * y * t / 8, 30 * t + 0 * x], -1) for t in range(8)]
    ).astype(np.uint8)
    return paperlib.explain(frames, network, classes=NAMES, top=2, iterations=20, title="</script> ü")


@pytest.fixture
def opened(browser, tmp_path):
    """Open an explanation's page from the disk; fails the test where it asks for anything or reports an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000}, accept_downloads=True)
    context.set_offline(True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors, asked = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.on("request", lambda request: asked.append(request.url))

    def show(one, scheme="light"):
        file = tmp_path / "page.html"
        one.save(file)
        page.emulate_media(color_scheme=scheme)
        page.goto(file.as_uri())
        page.wait_for_selector("[data-ready=true]")
        return page

    yield show
    assert errors == [] and [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


def rest(page):
    """Wait until questions are answered and what has changed is on the screen."""
    page.evaluate("() => new Promise((done) => setTimeout(done, 150))")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_nothing_in_the_file_leads_out_of_it(found):
    text = pages.html(found)
    bare = re.sub(r'<script type="application/json" id="state">.*?</script>', "", text, flags=re.S)
    leads = re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:)[^"'>\s]+|@import|fetch\(|XMLHttpRequest|import\(""", bare)
    assert leads == [] and not re.search(r"https?://(?!www\.w3\.org/2000/svg)", bare)
    assert "default-src 'none'" in bare and "<b>bold</b>" not in bare and "&lt;/script&gt; ü" in bare


@pytest.mark.browser
def test_scrubbing_clicking_and_keys(opened, found):
    page = opened(found)
    count, caption = page.locator(".pl-count"), page.locator("figcaption").last
    assert count.inner_text() == "1 / 8" and page.title().startswith("</script> ü")
    page.locator(".pl-slider").evaluate("(s) => { s.value = 4; s.dispatchEvent(new Event('input')); }")
    rest(page)
    assert count.inner_text() == "5 / 8"
    for key, at in (("End", "8 / 8"), ("ArrowLeft", "7 / 8"), ("Home", "1 / 8"), ("ArrowRight", "2 / 8")):
        page.keyboard.press(key)  # the view has the focus from the start
        rest(page)
        assert count.inner_text() == at
    matrix = page.locator(".pl-matrix")
    cell = matrix.bounding_box()["height"] / 8
    matrix.click(position={"x": 14 + 5.5 * cell, "y": 2.5 * cell})
    rest(page)
    assert count.inner_text() == "6 / 8" and "row 3 lit, held" in caption.inner_text()
    page.keyboard.press("Escape")
    rest(page)
    assert "row 6 lit" in caption.inner_text()
    page.keyboard.press(" ")
    playwright = pytest.importorskip("playwright.sync_api")
    playwright.expect(count).not_to_have_text("6 / 8")


@pytest.mark.browser
def test_controls_with_keys_of_their_own_keep_them(opened, found):
    page = opened(found)
    count, sigma, tint = page.locator(".pl-count"), page.get_by_label("sigma", exact=True), page.get_by_label("tint")
    for key, value in (("ArrowLeft", 0.97), ("Home", 0.5), ("ArrowUp", 0.505), ("End", 1)):
        sigma.press(key)
        rest(page)
        assert float(sigma.input_value()) == value and page.locator(".pl-number").inner_text() == f"{value:.3f}"
    tint.press(" ")
    assert not tint.is_checked()
    rest(page)
    assert count.inner_text() == "1 / 8" and page.get_by_label("play", exact=True).count() == 1  # nothing plays
    tint.press("ArrowRight")  # for which it has no use
    rest(page)
    assert count.inner_text() == "2 / 8"
    page.locator(".pl-slider").press("End")
    rest(page)
    assert count.inner_text() == "8 / 8"


@pytest.mark.browser
def test_another_class_and_another_sigma_are_those_of_the_library(opened, found, network):
    page = opened(found)
    first, second = found.target, next(iter(found.others))
    options = page.get_by_label("class", exact=True).locator("option").all_inner_texts()
    assert options == [NAMES[first], NAMES[second]]
    page.get_by_label("class", exact=True).select_option(str(second))
    rest(page)
    clip = clips.to_clip(found.frames)[None]
    matrix = relevance.relevance_matrix(network, clip, [second])
    rows = network.frame_logits(clip)[..., second].detach()
    for sigma in (0.975, 0.6):
        page.get_by_label("sigma", exact=True).evaluate(
            f"(s) => {{ s.value = {sigma}; s.dispatchEvent(new Event('input')); }}"
        )
        rest(page)
        atr = relevance.atr(matrix, rows, sigma=sigma)
        said = page.locator(".pl-atr").inner_text()
        assert f"avg-ATR {float(atr.avg):.2f}" in said and f"ATR of logit 1: {int(atr.frames[0, 0])} of 8" in said


@pytest.mark.browser
def test_another_class_has_the_sigma_that_the_page_was_made_with(opened, found, network):
    other, clip = next(iter(found.others)), clips.to_clip(found.frames)[None]
    matrix = relevance.relevance_matrix(network, clip, [other])
    rows = network.frame_logits(clip)[..., other].detach()

    def average(sigma):
        return float(relevance.atr(matrix, rows, sigma=sigma).avg)

    places = (round(0.5 + 0.005 * k, 3) for k in range(100))  # of the slider; and one beside that has another ATR
    beside = next(place + 0.0004 for place in places if average(place + 0.0004) != average(place))
    for sigma in (0.3, beside):
        options = {"classes": NAMES, "top": 2, "mask": False, "cam": False}
        page = opened(paperlib.explain(found.frames, network, sigma=sigma, **options))
        page.get_by_label("class", exact=True).select_option(str(other))
        rest(page)
        assert f"avg-ATR {average(sigma):.2f}" in page.locator(".pl-atr").inner_text()
        assert page.locator(".pl-number").inner_text() == f"{sigma:.3f}"


@pytest.mark.browser
def test_masks_that_were_tried_have_scores_and_others_say_so(opened, found, network):
    page = opened(found)
    page.get_by_role("button", name="clear").click()
    rest(page)
    scores = page.locator("canvas[aria-label^='score of the class']")
    own = found.scores[found.target]
    assert f"original {100 * own:.1f} %, frozen {100 * own:.1f} %" in scores.get_attribute("aria-label")
    box = page.locator(".pl-mask").bounding_box()
    cell, y = box["width"] / 8, box["y"] + 15
    page.mouse.move(box["x"] + 2.5 * cell, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 4.5 * cell, y, steps=4)
    page.mouse.up()
    rest(page)
    mask = torch.tensor([[0, 0, 1, 1, 1, 0, 0, 0]]).float()
    changed = masks.freeze(clips.to_clip(found.frames)[None], mask)
    frozen = network(changed).softmax(1)[0, found.target].item()
    assert f"frozen {100 * frozen:.1f} %" in scores.get_attribute("aria-label")
    page.locator(".pl-root").press("Home")
    page.locator(".pl-root").press("m")  # frames 1 and 3 to 5: no window
    rest(page)
    assert "frozen –" in scores.get_attribute("aria-label")
    assert "was not tried" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="learned mask").click()
    rest(page)
    assert f"frozen {100 * found.info['mask_scores']['FS']:.1f} %" in scores.get_attribute("aria-label")


@pytest.mark.browser
def test_dark_and_light_and_what_it_can_save(opened, found):
    page = opened(found, "dark")
    shade = "() => getComputedStyle(document.querySelector('.pl-root')).backgroundColor"
    dark = page.evaluate(shade)
    assert max(int(value) for value in re.findall(r"\d+", dark)) < 60
    page.keyboard.press("d")
    assert page.evaluate(shade) == "rgb(255, 255, 255)"
    for key, expected in (("D", dark), ("d", "rgb(255, 255, 255)")):  # with Caps Lock as without
        page.keyboard.press(key)
        assert page.evaluate(shade) == expected
    page.emulate_media(color_scheme="light")
    page.get_by_label("dark or light").click()
    assert page.evaluate(shade) == dark
    with page.expect_download() as waiting:
        page.get_by_role("button", name="save the numbers as JSON").click()
    assert waiting.value.suggested_filename.endswith(".json")
    assert page.get_by_role("button", name="GIF").count() == 0  # that one needs Python


@pytest.mark.browser
def test_what_was_left_out_has_no_place(opened, found, network):
    page = opened(paperlib.explain(found.frames, network, classes=NAMES, mask=False, relevance=False))
    assert page.locator("figcaption").all_inner_texts() == ["original", "Grad-CAM"]
    page = opened(paperlib.explain(found.frames, network, classes=NAMES, mask=False, cam=False))
    assert page.locator(".pl-mask").count() == 0 and page.locator("figcaption").count() == 2
    page.keyboard.press("m")
    rest(page)
    assert page.locator(".pl-count").inner_text() == "1 / 8"


def test_32_frames_of_224_pixels_take_less_than_3_mb():
    from paperlib.explanation.explanation import Explanation

    rng = np.random.default_rng(0)
    for noise in (8, 120):  # as a camera's, and far worse
        frames = np.clip(rng.normal(128, noise, (32, 224, 224, 3)), 0, 255).astype(np.uint8)
        info = {"video": "v", "model": "m", "classes": NAMES, "target": 0, "predicted": 0, "method": "clrp"}
        info |= {"sigma": 0.9, "avg_atr": 2.0, "max_atr": 3.0, "mask_scores": {"OS": 0.9, "FS": 0.1, "RS": 0.2}}
        arrays = {
            "scores": np.array([0.9, 0.1, 0.0]),
            "frame_logits": rng.normal(size=(32, 3)),
            "matrix": rng.random((32, 32), np.float32),
            "atr": np.ones(32),
            "segments": np.zeros((32, 2), int),
            "mask": np.zeros(32, np.float32),
            "cam": rng.random((32, 224, 224), np.float32),
            "tried_masks": np.zeros((43, 32), np.uint8),
            "tried_scores": np.zeros((43, 2), np.float32),
        }
        assert len(pages.html(Explanation(frames, info, arrays))) < 3_000_000
