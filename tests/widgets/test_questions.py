"""What the front end asks of Python and what becomes of the answers, alone in a browser, without Jupyter."""

import numpy as np
import pytest
import traitlets

from paperlib import widgets
from paperlib.widgets.explorer import Explorer

from .alone import clip, keys, live, slide

pytestmark = pytest.mark.browser


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


def test_an_edit_of_the_mask_outlives_an_answer_to_the_one_before(show):
    page = show(live(widgets.scrub_masks(clip(4, mask=np.zeros(4, np.float32)))))
    keys(page, "m")
    assert asked(page, 1, "mask") == [[1, 0, 0, 0]]
    tell(page, "score", act=press("ArrowRight", "m"), masks={"mask": [1, 0, 0, 0]})
    assert asked(page, 2, "mask")[1:] == [[1, 1, 0, 0]]
    tell(page, "score", "error", "no", act=press("ArrowRight", "m"))  # nor does a refusal undo it
    assert asked(page, 3, "mask")[2:] == [[1, 1, 1, 0]]
    tell(page, "score", "error", "no")
    last = "document.querySelectorAll('.pl-handle')[1].getAttribute('aria-valuenow')"
    page.wait_for_function(f"{last} === '1'")  # back at the last that was taken, when it is drawn


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


def test_an_edit_made_while_another_clip_is_opened_does_not_end_in_that_clip(show):
    widget = live(widgets.scrub_masks(clip(4, mask=np.zeros(4, np.float32))))
    widget.add_traits(files=traitlets.List(), checkpoints=traitlets.List(), chosen=traitlets.Dict())
    widget.features, widget.checkpoints = ["open", "mask"], ["x"]
    widget.chosen = {"file": "a.mp4", "checkpoint": "x"}
    page = show(widget)
    file = page.get_by_label("video file")
    file.fill("b.mp4")
    file.press("Enter")
    page.evaluate(press("m"))
    page.wait_for_timeout(150)  # it waits for the answer now
    tell(page, act=press("ArrowRight", "m"))  # and this one is not even asked
    file.fill("c.mp4")  # typed, not opened
    tell(page, clips={"title": "b.mp4"})
    page.evaluate(
        "model.set('chosen', { file: 'b.mp4', checkpoint: 'data/mine.safetensors' }); model.tell('change:chosen')"
    )
    tell(page, "open")
    page.wait_for_timeout(150)
    assert asked(page, 1, "kind", "file") == [("open", "b.mp4")] and file.input_value() == "c.mp4"
    file.press("Enter")
    tell(page, "open", "error", "c.mp4 does not exist")
    assert file.input_value() == "b.mp4"  # as after every refusal
    assert page.get_by_label("checkpoint", exact=True).last.input_value() == "data/mine.safetensors"
    assert page.errors == []
