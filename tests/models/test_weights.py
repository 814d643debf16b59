"""The registry of public checkpoints, and the commands around models."""

import dataclasses
import hashlib
import http.server
import threading

import pooch
import pytest
import torch

from paperlib import cli, models
from paperlib.data.clips import MEAN, STD
from paperlib.errors import InputError
from paperlib.models import weights


def test_every_entry_names_a_network_that_exists():
    registry = weights.registry()
    assert sum(entry.citation.startswith("Chen et al.") for entry in registry.values()) == 8
    assert {"K400-SlowFast-R50-8x8", "K400-I3D-original", "K400-r3d_18", "K400-s3d"} <= registry.keys()
    for entry in registry.values():
        with torch.device("meta"):
            model = models.create(entry.model, num_classes=entry.classes)
        assert model.num_frames == int(entry.frames.replace(",", "").split()[0])
        assert entry.url.startswith("https://") and entry.url.endswith(entry.file)
        assert entry.licence and 0 < entry.top1 < 100 and len(entry.mean) == len(entry.std) == 3


def test_torchvision_entries_agree_with_torchvision():
    from torchvision.models import video

    theirs = {
        "r3d_18": video.R3D_18_Weights,
        "mc3_18": video.MC3_18_Weights,
        "r2plus1d_18": video.R2Plus1D_18_Weights,
        "s3d": video.S3D_Weights,
        "mvit_v1_b": video.MViT_V1_B_Weights,
        "mvit_v2_s": video.MViT_V2_S_Weights,
        "swin3d_t": video.Swin3D_T_Weights,
        "swin3d_s": video.Swin3D_S_Weights,
        "swin3d_b": video.Swin3D_B_Weights,
    }
    all_weights = [(network, enum.KINETICS400_V1) for network, enum in theirs.items()]
    for network, official in [*all_weights, ("swin3d_b-22k", video.Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1)]:
        entry = weights.find(f"K400-{network}")
        transform = official.transforms()
        assert entry.url == official.url
        assert entry.top1 == official.meta["_metrics"]["Kinetics-400"]["acc@1"]
        assert (list(entry.mean), list(entry.std)) == (list(transform.mean), list(transform.std))
        assert entry.class_names() == official.meta["categories"]


def test_kinetics_classes_are_alphabetical_and_ssv2_says_where_they_are():
    names = weights.find("k400-i3d-r50-f32").class_names()
    assert len(names) == 400 and names == sorted(names)
    with pytest.raises(InputError, match="labels.json"):
        weights.find("SSV2-I3D-R50-f32").class_names()


def test_normalise_gives_the_checkpoints_own_statistics():
    entry = weights.find("K400-I3D-original")
    pixels = torch.rand(2, 3, 4, 5, 5)
    clip = (pixels - torch.tensor(MEAN).view(3, 1, 1, 1)) / torch.tensor(STD).view(3, 1, 1, 1)
    assert torch.allclose(entry.normalise(clip), 2 * pixels - 1, atol=1e-5)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine that publishes K400-r3d_18; gives (what it sends, the files asked for)."""
    source = tmp_path / "published.pth"
    torch.save(models.create("r3d_18", num_classes=400).net.state_dict(), source)
    content = {"sent": source.read_bytes(), "announced": None}
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(content["announced"] or len(content["sent"])))
            self.end_headers()
            self.wfile.write(content["sent"])

        def log_message(self, *arguments):
            pass

    digest = hashlib.sha256(content["sent"]).hexdigest()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        entry = dataclasses.replace(
            weights.find("K400-r3d_18"), sha256=digest[:8], url=f"http://127.0.0.1:{serving.server_port}/r3d_18.pth"
        )
        monkeypatch.setattr(weights, "find", lambda name: entry)
        yield content, asked
        serving.shutdown()


def test_without_a_network_it_says_which_file_to_put_where(tmp_path, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise ConnectionError

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)
    (tmp_path / "jump.mp4").touch()
    assert cli.main(["weights", "get", "K400-s3d", "--folder", str(tmp_path / "jump.mp4")]) == 2
    assert "cannot be written (Not a directory); name a file in a folder that can" in capsys.readouterr().err
    (tmp_path / "jump.mp4").unlink()
    assert cli.main(["weights", "get", "K400-s3d", "--folder", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert weights.find("K400-s3d").url in message and str(tmp_path / "s3d-d76dad2f.pth") in message
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_fetched_once_and_verified(tmp_path, server):
    content, asked = server
    folder = tmp_path / "wéights of mine"
    for _ in range(2):
        model, entry = weights.load("K400-r3d_18", folder)
    assert asked == ["/r3d_18.pth"]
    assert torch.equal(model.net.fc.weight, torch.load(tmp_path / "published.pth", weights_only=True)["fc.weight"])
    (folder / entry.file).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{entry.file} has sha256 .* delete the file"):
        weights.get("K400-r3d_18", folder)


@pytest.mark.parametrize("fault", ["another file", "cut short", "cut short and said so"])
def test_a_download_that_is_not_the_published_file_is_not_kept(tmp_path, server, fault):
    (content, _), folder = server, tmp_path / "cache"
    good = dict(content)
    content["sent"] = b"<html>busy</html>" if fault == "another file" else good["sent"][:100_000]
    content["announced"] = len(good["sent"]) if fault == "cut short" else None
    with pytest.raises(InputError, match="could not be downloaded" if fault == "cut short" else "was not kept"):
        weights.get("K400-r3d_18", folder, progress=False)
    assert list(folder.iterdir()) == []
    content.update(good)
    assert weights.get("K400-r3d_18", folder, progress=False).read_bytes() == good["sent"]


def test_an_unknown_checkpoint_lists_the_known(capsys):
    assert cli.main(["weights", "get", "K400-X3D"]) == 2
    assert "K400-I3D-R50-f32" in capsys.readouterr().err
    assert cli.main(["weights", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(weights.registry()) + 1


def test_the_table_of_models_has_parameters_flops_and_reach(capsys):
    assert cli.main(["models", "I3D-R18-f8", "C-LSTM-f16", "--classes", "87"]) == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split() == ["I3D-R18-f8", "33,210,903", "43.22", "35"]
    assert second.split()[-1] == "all"
    assert cli.main(["models", "I3D-R20-f8"]) == 2
    assert "R20" in capsys.readouterr().err


def test_every_listed_name_can_be_created():
    for name in models.names(8):
        if "R101" in name or "R152" in name:
            continue  # as R50, only longer
        with torch.device("meta"):
            assert models.create(name, num_classes=2).config["name"] == name
