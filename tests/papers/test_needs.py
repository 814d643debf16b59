"""Which of the listed checkpoints can be used here, and what is said of the others."""

from paperlib.papers import needs
from paperlib.training import checkpoints


def test_a_network_is_lacking_where_no_run_of_it_is_there(monkeypatch, tmp_path):
    trained = {"synth_kth/A-s1", "synth_kth/B"}
    monkeypatch.setattr(needs.checkpoints, "path", lambda key: tmp_path / key.replace("/", "-"))
    for key in trained:
        checkpoints.path(key).touch()
    listed = [f"synth_kth/{model}{seed}" for model in "ABC" for seed in ("", "-s1", "-s2")]
    there, lacking = needs.there(listed)
    assert there == ["synth_kth/A-s1", "synth_kth/B"]
    assert lacking == {"synth_kth/C": needs.UNTRAINED}
    assert set(needs.lacking(listed)) == set(listed) - trained
    # a network of which later runs alone are listed is lacking as any other
    assert needs.there(["synth_kth/B", "synth_kth/D-s1", "synth_kth/D-s2", "synth_kth/A-s1"])[1] == {
        "synth_kth/D-s1": needs.UNTRAINED
    }
