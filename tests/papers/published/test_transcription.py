"""Every transcribed number is found again in the papers' texts, in its table's block and order."""

import re
from importlib import resources

import numpy as np
import pandas as pd
import pytest

from paperlib.errors import InputError
from paperlib.papers import published
from tests import shared

DEEP = "papers/deep_analysis_cvpr2021.txt"
RELEVANCE = "papers/temporal_relevance_analysis_eccv.txt"
FEATURES = "papers/interpreting_video_features_accv2020.txt"
ATR_HEAD = "avg-ATR max-ATR\n\nKinetics SSV2 Kinetics SSV2 Kinetics SSV2"

# Table: file, text before its first row, text after its last one, columns of labels at the start of a row.
BLOCKS = {
    "deep_analysis_table02": (DEEP, "Kinetics\tDataset SSV2\tMiT", " Those networks", 2),
    "deep_analysis_table03": (DEEP, "U-Sampling\tD-Sampling", "Table 3:", 2),
    "deep_analysis_table04": (DEEP, "UCF101\tHMDB51\tJester\tMini-SSV2", "Table 4:", 1),
    "deep_analysis_table07": (DEEP, "Datasets\tMetrics\tI3D", "$\\bar{\\Psi}_a^{ta}$: the", 2),
    "temporal_relevance_table01": (RELEVANCE, f"Acc. (%) {ATR_HEAD}", "Table 1:", 1),
    "temporal_relevance_table04": (RELEVANCE, f"Single-clip Acc. (%) {ATR_HEAD}", "Appendix.", 1),
    "temporal_relevance_table05": (RELEVANCE, "MiT MiT", "Table 6:", 1),
    "temporal_relevance_table07": (RELEVANCE, "uniform dense uniform dense uniform dense", "(a) uniform", 1),
    "video_features_table01": (FEATURES, "Smth-Smth (Top-5)", "## 5.1", 1),
    "video_features_table02": (FEATURES, "Class\tI3D\tC-LSTM", "Table 2:", 1),
    "video_features_table03": (FEATURES, "Blob count\tBlob size\tCenter distance", "We further", 1),
    "video_features_table04": (FEATURES, "Mask length\tDrop ratio\tDrop diff.", "note that", 1),
}

# Numbers that a text gives about a figure, or that stand in a caption or note: the words around them.
PHRASES = {
    "deep_analysis_fig01": (
        DEEP,
        [
            "top-1 accuracy of 74.9%, 5.1% higher",
            "73.1% top-1 accuracy, which is 2% better",
            "action recognition. In ECCV. Springer, 2016.",
            "kinetics dataset. In CVPR, pages 6299–6308, 2017.",
            "Temporal Aggregation Modules. In *NeurIPS*, 2019.",
            "video recognition. arXiv:1812.03982, 2018.",
            "Recognition* (CVPR), June 2020. 3, 6",
        ],
    ),
    "deep_analysis_fig02": (
        DEEP,
        [
            "used by around 60% papers",
            "increases to 69% if",
            "used by about 50% papers",
            "about 70% papers compare results with different backbones",
            "about 80% of the papers use different number of frames",
            "about 60% of the papers use different protocols to train",
            "About 60% papers evaluated models differently",
            "Statistics collected from 37 action",
        ],
    ),
    "deep_analysis_fig05": (DEEP, ["$6\\% \\sim 15\\%$ on Mini-Kinetics and 5%~20% on Mini-"]),
    "deep_analysis_fig06": (DEEP, ["(>20%) and Mini-MiT ($3\\% \\sim 5\\%$)", "positive gains after 32 frames"]),
    "deep_analysis_fig07": (
        DEEP,
        [
            "accuracy of I3D by 4.0% on Kinetics",
            "removing temporal pooling adds another 1.1%",
            "surpass SlowFast by 0.8%",
            "substantially by 6%, making",
        ],
    ),
    "deep_analysis_fig08": (
        DEEP,
        ["saturated quickly after 4-5 clips", "literature of using 10 clips", "tested using 3 "],
    ),
    "temporal_relevance_fig04b": (RELEVANCE, ["rather insignificant (< 0.5)"]),
    "temporal_relevance_fig05a": (RELEVANCE, ["8-framesavg-ATR: 7.0", "16-framesavg-ATR:8.0", "avg-ATR: 8.9"]),
    "temporal_relevance_fig06": (RELEVANCE, ["around 8 frames on Kinetics, and 10 frames on SSV2"]),
    "temporal_relevance_fig07": (RELEVANCE, ["for 15 models on mini-Kinetics and mini-SSV2"]),
    "temporal_relevance_fig08": (RELEVANCE, ["between 7.7 and 8.2, indicating", "not greater than 1.0"]),
    "temporal_relevance_fig15": (RELEVANCE, ["ranged from 9.0 to 10.0"]),
    "video_features_text": (
        FEATURES,
        [
            "with 12, 465, 614 for I3D and 1, 324, 014 for",
            "(1575 sequences in total)",
            "(863 sequences, 32 frames",
            "in 2391 sequences",
            "in 16 frames (Something",
            "32 frames (KTH",
            "drop ratio, if the denominator OS-RS $\\leq$ 0.001",
            "through 300 iterations",
            "(threshold 0.1)",
            "p-value $< 10^{-6}$ for both",
        ],
    ),
}
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?")


def printed(name):
    """Return a table's CSV with every cell as the characters in the file."""
    file = resources.files("paperlib.papers.published") / f"{name}.csv"
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def flat(table):
    """Return a table's numbers in order, each value followed by its spread."""
    return [float(x) for pair in zip(table.value, table.spread, strict=True) for x in pair if x]


def numbers(text):
    """Return the numbers in a piece of text; 5.5±0.4 counts as two."""
    return [float(x) for x in NUMBER.findall(re.sub(r"±|\\pm", " ", text))]


def block(file, begin, end, labels):
    """Return the lines of a table's rows without their first `labels` cells."""
    text = shared.path(file).read_text(encoding="utf-8")
    part = text.split(begin, 1)[1].split(end, 1)[0]
    rows = []
    for line in part.splitlines():
        cells = line.split("\t") if "\t" in line else line.split(" ")
        if NUMBER.search(" ".join(cells[labels:]).replace("±", " ").replace("$", " ")):
            rows.append(" ".join(cells[labels:]).replace("$", " "))
    return rows


def unwrapped(file):
    """Return a paper's text as one line without hyphenation at line ends."""
    return re.sub(r"\s+", " ", shared.path(file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", BLOCKS)
def test_table_has_the_numbers_of_its_block_in_order(name):
    rows = [row for row in block(*BLOCKS[name]) if not re.match(r"\D*Table", row)]
    if name == "video_features_table04":  # the block runs into the first words of the next paragraph
        table = printed(name)
        expected = flat(table[~table.column.str.contains("1e-9")])
    else:
        expected = flat(printed(name))
    assert numbers(" ".join(rows)) == expected


def test_aggregation_table():
    """Table 5 of the CVPR paper has two frame counts in each printed cell."""
    lines = [
        line.split("\t")
        for line in shared.path(DEEP).read_text(encoding="utf-8").splitlines()
        if line.startswith(("Mini-SSV2\tf=8", "Mini-Kinetics\tf=8"))
    ]
    table = printed("deep_analysis_table05")
    for cells in lines:
        part = table[table.dataset == cells[0].replace("Mini", "mini")]
        frames = [part[part.num_frames == f].value.tolist() for f in ("8", "16")]
        pairs = [" ".join(x for x in pair if x) for pair in zip(*frames, strict=True)]
        assert pairs == cells[2:]


def test_placement_table():
    text = shared.path(DEEP).read_text(encoding="utf-8")
    rows = re.findall(r"^[48]\t(?:All|\w+-half)\t.*$", text, re.MULTILINE)
    lines = {row.split("\t")[1]: row.split("\t") for row in rows}
    table = printed("deep_analysis_table06")
    for location, rows in table.groupby("row"):
        assert [rows.modules.iloc[0], location, *rows.value] == [c for c in lines[location] if c]
    assert len(lines) == table.row.nunique()


def test_kernel_size_table():
    text = shared.path(RELEVANCE).read_text(encoding="utf-8").splitlines()
    table = printed("temporal_relevance_table02")
    start = next(i for i, line in enumerate(text) if line.startswith("TAM2D-R50-f8 TAM2D-R50-f16"))
    lines = [line for line in text[start : start + 8] if re.match(r"[357] \d", line)]
    assert [[size, *rows.value] for size, rows in table.groupby("kernel_size")] == [x.split() for x in lines]


def test_overlap_table():
    text = shared.path(RELEVANCE).read_text(encoding="utf-8")
    table = printed("temporal_relevance_table03")
    for model in ("I3D-R50-f16", "TAM2D-R50-f16"):
        line = next(x for x in text.splitlines() if x.startswith(model) and x.count("%") == 8)
        assert table[table.row == model].value.tolist() == line.replace("%", "").split()[1:]
    counts = table[table.column == "count"].value.tolist()
    assert "# classes " + " ".join(counts * 2) in text


def test_clrp_lrp_table():
    text = shared.path(RELEVANCE).read_text(encoding="utf-8")
    part = text[text.index("Table 6:") : text.index("indicating that by removing")]
    table = printed("temporal_relevance_table06")
    for model, rows in table.groupby("row"):
        line = next(x for x in part.splitlines() if x.startswith(model))
        means, changes = re.sub(r"\(.*?\)", "", line).split()[1:], re.findall(r"\((.*?)\)", line)
        difference = rows.column.str.contains("difference")
        assert rows[~difference].value.tolist() == means
        assert rows[difference].value.tolist() == changes


def test_backbone_accuracies_of_figure_4a():
    text = shared.path(RELEVANCE).read_text(encoding="utf-8")
    part = text[text.index("demonstrates that models learn") : text.index("Fig. 4: (a)")]
    table = printed("temporal_relevance_fig04a")
    accuracies = table[table.column == "accuracy"].value
    assert sorted(accuracies) == sorted(re.findall(r"(\d\d\.\d)%", part))


def test_approaches_name_what_the_table_prints():
    text = shared.path(DEEP).read_text(encoding="utf-8")
    part = text[text.index("Approach\tModel Input") : text.index("Table 1:")]
    table = published.table("deep_analysis_table01")
    assert {"Approach", *table.column} == set(part.splitlines()[0].split("\t"))
    legible = table[~table.source.str.contains("merged|not legible") & (table.column != "Temporal Pooling")]
    for cell in legible.value:
        assert all(word in part for word in cell.split(" / ")), cell


@pytest.mark.parametrize("name", PHRASES)
def test_numbers_of_figures_stand_in_the_text(name):
    file, phrases = PHRASES[name]
    text = unwrapped(file)
    for phrase in phrases:
        assert phrase in text, phrase
    joined = " ".join(phrases).replace("12, 465, 614", "12465614").replace("1, 324, 014", "1324014")
    found = {f"{float(x):g}" for x in re.findall(r"\d+(?:\.\d+)?", joined)} | {f"{1e-6:g}"}
    assert {f"{x:g}" for x in flat(printed(name))} <= found


def test_drop_ratio_without_the_filter():
    assert r"$215 \pm 6346$ (I3D) and $4.9 \pm 47.6$ (C-LSTM)" in unwrapped(FEATURES)
    rows = printed("video_features_table04").query("column == 'drop ratio with threshold 1e-9'")
    assert flat(rows) == [215, 6346, 4.9, 47.6]


def test_every_table_is_checked_here():
    elsewhere = {
        "chen2021_mini_benchmark",
        "dataset_sizes",  # from other sources
        "deep_analysis_table01",
        "deep_analysis_table05",
        "deep_analysis_table06",
        "temporal_relevance_table02",
        "temporal_relevance_table03",
        "temporal_relevance_table06",
        "temporal_relevance_fig04a",
    }
    assert set(published.names()) == elsewhere | set(BLOCKS) | set(PHRASES)


def test_benchmark_equals_the_given_file():
    given = pd.read_csv(shared.path("published/chen2021_mini_benchmark.csv"))
    ours = published.table("chen2021_mini_benchmark")
    pd.testing.assert_frame_equal(ours.drop(columns="source"), given, check_dtype=False)
    assert len(ours) == 288 and ours.source.str.contains("github").all()
    keys = ["dataset", "module", "backbone", "num_frames", "temporal_pooling"]
    assert not ours.duplicated(keys).any()


@pytest.mark.parametrize("name", [n for n in published.names() if n != "chen2021_mini_benchmark"])
def test_tables_have_the_common_columns_and_a_source(name):
    table = published.table(name)
    assert list(table.columns[:6]) == ["row", "column", "dataset", "value", "spread", "source"]
    assert name == "dataset_sizes" or table.source.str.contains("Table|Figure|Section|reference").all()
    assert (table.source != "").all()
    keys = [c for c in table.columns if c not in ("value", "spread", "source")]
    assert not table.duplicated(keys).any()


def test_unknown_names_are_explained():
    with pytest.raises(InputError, match="deep_analysis_table07"):
        published.table("deep_analysis_table99")
    with pytest.raises(InputError, match="4 rows, not one"):
        published.value("deep_analysis_table02", row="X3D-L")
    with pytest.raises(InputError, match="no column 'model'"):
        published.value("deep_analysis_table02", model="X3D-L")


def test_value_is_one_number():
    assert published.value("video_features_table03", row="I3D", column="blob count", dataset="KTH") == 1.1
    assert np.isnan(published.value("deep_analysis_table02", row="X3D-L", column="top-1", dataset="MiT"))
