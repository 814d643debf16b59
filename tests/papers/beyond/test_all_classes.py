"""Comparisons of classes by their relevance per frame."""

import numpy as np

from paperlib import data
from paperlib.papers.beyond import all_classes


def test_twins_are_mutual():
    for name in ("synth_ssv2", "synth_ssv2_hard", "synth_mit", "synth_mit_hard"):
        pairs = data.load(name, limit=1).module.REVERSED
        classes = [name for pair in pairs for name in pair] + ["neither"]
        twins = all_classes.reversed_twins(classes)
        assert twins[-1] == -1 and (twins[twins[:-1]] == np.arange(len(classes) - 1)).all()
        assert all(classes[twins[classes.index(a)]] == b for a, b in pairs)


def test_a_data_set_of_files_has_the_twins_that_its_classes_name():
    """Something-Something's own names are those of the procedural set; a Kinetics class has no twin."""
    classes = ["Moving something down", "abseiling", "Moving something up"]
    assert all_classes.reversed_twins(classes).tolist() == [2, -1, 0]


def test_comparisons_of_known_profiles():
    profiles = np.zeros((1, 3, 4))
    profiles[0, 0, 1] = profiles[0, 1, 3] = profiles[0, 2, 1] = 2
    classes = ["Moving something up", "Moving something down", "third"]
    found = dict(profiles=profiles, logits=np.array([[5.0, 1.0, 3.0]]), labels=[0], classes=classes)
    row = all_classes.comparisons(found).iloc[0]
    assert row.rival == "third" and row.with_rival == 1 and not row.other_peak
    assert row.with_twin == 0 and row.with_others == 0.5
    averages = all_classes.averages(all_classes.comparisons(found)).set_index("quantity")
    assert averages.loc["with_others", "value"] == 0.5 and averages.loc["with_others", "clips"] == 1
