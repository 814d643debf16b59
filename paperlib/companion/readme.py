"""The parts of README.md that follow from other files: how results compare, the notebooks, pictures of the widgets.

Each stands between `<!-- NAME: made by paperlib gallery --readme -->` and `<!-- end of NAME -->`. Why not cog: what it
would save is `put`, eight lines; what the parts say is ours.
"""

import re
from collections import Counter

import pandas as pd

from ..errors import InputError
from ..papers import claims
from ..papers.verdicts import CONTRADICTED, HOLDS, UNDECIDED, UNTESTABLE, undecided_because
from ..storage import paths
from . import gallery, stale

# A few findings of each paper, by their statements' ids. One that is not in the ledger is left out.
FINDINGS = [
    "tr.table1.avg-datasets",
    "tr.fig3.i3d-larger",
    "tr.fig5a.shorter",
    "tr.table6.avg",
    "vf.table1.time-critical",
    "vf.table4.length-ssv2",
    "vf.table3.count-ssv2",
    "da.table7.2d-3d",
    "da.fig6.tsn-mit",
    "da.fig6.hurts",
    "da.fig6.hurts.own",
    "da.table2.not-in-accuracy",
    "nagoya.reversed-critical",
]
SIGNS = {
    HOLDS: "✓ holds",
    CONTRADICTED: "✗ contradicted",
    UNDECIDED: "? undecided",
    UNTESTABLE: "○ not testable here",
}
OURS, PRINTED = "for models trained here, procedural and real videos", "for printed numbers and architectures"
GIVES = {
    "temporal_relevance": "*Temporal Relevance Analysis for Video Action Models*: contrastive relevance (CLRP) of "
    "every frame for every frame, the run of frames that holds 97.5 % of it (ATR)",
    "video_features": "*Interpreting Video Features: a Comparison of 3D Convolutional Networks and Convolutional LSTM "
    "Networks* (ACCV 2020): learned temporal masks, Grad-CAM over time, blobs",
    "deep_analysis": "*Deep Analysis of CNN-based Spatio-temporal Representations for Action Recognition* (CVPR 2021): "
    "2D and 3D models in one framework, 288 published ones compared",
    "beyond": "questions that no paper asked: do instruments agree, and which tells the truth, all classes of a clip, "
    "real people",
    "explore": "to play: your own video and model, widgets, the data sets",
}
WIDGETS = {
    "scrub_relevance.png": "Scrubbing a clip beside its relevance matrix",
    "scrub_masks.png": "Dragging a temporal mask over a clip",
}
FOLDER = paths.ROOT / "docs" / "images"


def update(file=None):
    """Rewrite the made parts of the README in place and return its path."""
    file = file or paths.ROOT / "README.md"
    text = file.read_text(encoding="utf-8")
    for name, content in parts().items():
        text = put(text, name, content, file)
    with paths.atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return file


def parts(ledger=None):
    """Return {name: Markdown} of the made parts; `ledger`: the claims, by default those in figures/claims.csv."""
    if ledger is None:
        file = paths.FIGURES / "claims.csv"
        ledger = pd.read_csv(file, dtype=str, keep_default_na=False) if file.is_file() else claims.merge()
    return {"results": results(ledger), "notebooks": notebooks(), "widgets": widgets()}


def put(text, name, content, file="README.md"):
    """Return the text with the content of one part replaced."""
    pattern = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"{file} has no part between `<!-- {name}: ... -->` and `<!-- end of {name} -->`")
    return pattern.sub(lambda found: found[1] + content + found[2], text)


def results(ledger):
    """Return how many claims have which verdict, how far chance goes, a few findings in numbers, what is not tested."""
    ours = ~ledger.dataset.str.contains("published|papers")
    lines = [f"| {', '.join(SIGNS.values())} | {OURS} | {PRINTED} |", "| --- | --- | --- |"]
    for paper in [paper for paper in gallery.PAPERS if (ledger.paper == paper).any()]:
        cells = []
        for chosen in (ours, ~ours):
            counts = gallery.count(ledger[(ledger.paper == paper) & chosen].to_dict("records")).values()
            cells.append(", ".join(map(str, counts)) if any(counts) else "")
        lines.append(f"| `{paper}` | {' | '.join(cells)} |")
    lines += [
        "",
        gallery.chance(ledger),
        "",
        "| finding, and what decides it | paper | ours [95 %] | |",
        "| --- | --- | --- | --- |",
    ]
    for finding in FINDINGS:
        for row in ledger[ledger.id == finding].itertuples():
            value, low, high = (f"{float(cell):.3g}" if cell else "" for cell in (row.ours, row.low, row.high))
            value += f" [{low}, {high}]" if low and high else ""
            decides = f"{row.quantity.partition(';')[0]}{f', {row.criterion}' if row.criterion else ''}"
            rests = "".join(f", {said}" for said in (row.rests_on, row.dataset) if said)
            found = SIGNS[row.verdict]
            if row.verdict == UNDECIDED:
                found += f": {undecided_because(row.criterion, tuple(map(float, (row.ours, row.low, row.high))))}"
            lines.append(f"| {row.statement}: {decides} | {row.published} | {value}{rests} | {found} |")
    reasons = Counter(ledger.rests_on[ledger.verdict == UNTESTABLE])
    if reasons:
        why = ", ".join(f"*{reason}* ({count})" for reason, count in reasons.most_common())
        lines += ["", f"Why {reasons.total()} statements are not testable here: {why}."]
    return "\n".join(lines) + "\n"


def notebooks():
    """Return a table of the papers and of explore with a link to every notebook."""
    lines = ["| folder | what it gives | notebooks |", "| --- | --- | --- |"]
    names = stale.notebooks()
    for paper in gallery.in_order(names):
        links = {}
        for name in [name for name in names if name.startswith(f"{paper}/")]:
            stem = name.split("/")[1]
            number = re.match(r"(fig|table)0*(\d+[a-z]?)_", stem)
            kind, label = ({"fig": "figures ", "table": "tables "}[number[1]], number[2]) if number else ("", stem)
            links.setdefault(kind, []).append(f"[{label}](notebooks/{name}.ipynb)")
        listed = "; ".join(kind + " ".join(own) if kind else ", ".join(own) for kind, own in links.items())
        lines.append(f"| [`{paper}`](notebooks/{paper}) | {GIVES.get(paper, '')} | {listed} |")
    return "\n".join(lines) + "\n"


def widgets():
    """Return the pictures of the widgets that are there, side by side, each a link to its notebook."""
    return "".join(
        f'<a href="notebooks/explore/{name.removesuffix(".png")}.ipynb">'
        f'<img src="docs/images/{name}" alt="{alt}" width="49%"></a>\n'
        for name, alt in WIDGETS.items()
        if (FOLDER / name).is_file()
    )
