"""Networks as `explain` is given them: of any layout, named by a function that makes one, in a folder."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import paperlib
from paperlib.errors import InputError

NAMES = ["left", "right", "still"]


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)


class Framewise(nn.Module):
    """Takes [B, T, C, H, W] and returns a dictionary; nothing of it is the project's own layout."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, clips):
        features = self.conv(clips.flatten(0, 1)).relu().mean((2, 3)).unflatten(0, clips.shape[:2])
        return {"logits": self.head(features).mean(1)}


def test_a_network_of_any_layout_and_one_that_a_function_makes(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_for_the_test.py").write_text(
        "import torch\nfrom tests.explanation.test_networks import Framewise\n"
        "def build():\n    torch.manual_seed(0)\n    return Framewise()\n"
        "def broken():\n    raise OSError('no weights here')\nnumber = 3\n"
        "def late():\n    import beside_for_the_test\n    return build()\n"
    )
    for module, text in (("beside", "x = 1"), ("typo", "x = 1\ndef build(:"), ("name", "import torch\ntorch.nothing")):
        (tmp_path / f"{module}_for_the_test.py").write_text(f"{text}\n")
    torch.manual_seed(0)
    direct = paperlib.explain(frames[:6], Framewise(), frames=6, mask=False)
    named = paperlib.explain(frames[:6], "mine_for_the_test:build", frames=6, mask=False)
    np.testing.assert_allclose(direct.matrix, named.matrix, atol=1e-6)
    assert any("B, T, C, H, W" in note for note in direct.notes) and direct.matrix.shape == (6, 6)
    path, late = list(sys.path), paperlib.explain(frames[:6], "mine_for_the_test:late", relevance=False, mask=False)
    assert late.info["model"] == "Framewise" and sys.path == path
    for wrong, message in (
        ("mine_for_the_test:other", "has no other"),
        ("mine_for_the_test:broken", "OSError in line 7 of mine_for_the_test.py: no weights here"),
        ("mine_for_the_test:number", "does not return a network: TypeError"),
        ("./mine_for_the_test:build", "give mine_for_the_test:build, in the folder of that file"),
        ("a folder/mine_for_the_test.py:build", "give mine_for_the_test:build, in the folder of that file"),
        ("", "give the model, too"),
        ("absent_module:build", "cannot be imported .* in this folder"),
        ("typo_for_the_test:build", "cannot be imported: SyntaxError in line 2 of typo_for_the_test.py: invalid"),
        ("name_for_the_test:build", "cannot be imported: AttributeError in line 2 of name_for_the_test.py: .*no"),
    ):
        with pytest.raises(InputError, match=message):
            paperlib.explain(frames[:6], wrong)
    for module in ("mine_for_the_test", "beside_for_the_test"):
        sys.modules.pop(module)


def test_parts_of_frames_are_no_clip_of_all_of_them(frames):
    torch.manual_seed(0)
    quick = dict(mask=False, relevance=False, cam=False)
    for several in (dict(slide=2), dict(clips=2)):
        with pytest.raises(InputError, match="how many frames Framewise takes .* give frames="):
            paperlib.explain(frames, Framewise(), **several, **quick)
        found = paperlib.explain(frames, Framewise(), frames=4, **several, **quick)
        assert found.info["windows"]["frames"] == 4
        assert any("4 frames (told) of 32 x 32 pixels (the clip has them)" in note for note in found.notes)
    whole = paperlib.explain(frames, Framewise(), slide=False, **quick)
    assert whole.info["indices"] == list(range(20)) and "20 frames (the clip has them)" in " ".join(whole.notes)


def test_a_folder_of_transformers(frames, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="has no config.json"):
        paperlib.explain(frames, str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="pip install transformers"):
        paperlib.explain(frames, str(tmp_path))
    monkeypatch.undo()
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.TimesformerConfig(
        image_size=32, patch_size=16, num_frames=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, id2label=dict(enumerate(NAMES)), label2id={name: k for k, name in enumerate(NAMES)},
    )  # fmt: skip
    transformers.TimesformerForVideoClassification(config).save_pretrained(tmp_path)
    found = paperlib.explain(frames, str(tmp_path), relevance=False, mask=False)
    assert found.classes == NAMES and found.cam.shape == (4, 32, 32)
