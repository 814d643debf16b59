"""The gallery: one self-contained page, `figures/index.html`, with every figure beside its claims.

Why not nbconvert, Jupyter Book or `snakemake --report`: they show notebooks or files; here a figure stands beside the
claims it decides, which can be filtered by verdict, in one file that needs no network.
"""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from ..papers import claims
from ..storage import paths
from . import stale

TEMPLATE = Path(__file__).with_name("gallery.html.j2")

PAPERS = {
    "temporal_relevance": "Temporal Relevance Analysis for Video Action Models",
    "video_features": "Interpreting Video Features: 3D CNNs vs Convolutional LSTMs",
    "deep_analysis": "Deep Analysis of CNN-based Spatio-temporal Representations for Action Recognition",
    "beyond": "Beyond the papers: questions of our own",
    "explore": "Explore: your own video, your own model",
}
WIDTH = 1400  # pixels; wider figures are scaled down in the page, the PNG itself stays one click away
THUMBNAIL = 320  # pixels of the small pictures in a paper's list of contents, shown at half that width
ROWS = 60  # rows of a table that the page shows; the CSV has them all
MANY = 4  # claims; more than these stand in columns below the figure instead of beside it


def build(figures=None):
    """Merge the claims, write `index.html` into the figures folder and return its path.

    The page is written anew only when something it shows has changed; the same results give the same bytes.
    """
    figures = figures or paths.FIGURES
    page = figures / "index.html"
    if stale.page_is_current(figures):
        return page
    claims.merge(figures)
    if stale.page_is_current(figures):  # the ledger alone was missing
        return page
    html = render(sections(figures), stale.page_digest(figures), checked(figures))
    with paths.atomic(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return page


def sections(figures):
    """Return the papers in the order of the page, each with its entries and all its claims."""
    names = set(stale.notebooks())
    taken = {file for name in names for file in stale.results(name, figures)}
    others = (f for f in figures.glob("*/*.*") if f not in taken and not f.name.startswith("."))
    names |= {f"{f.parent.name}/{f.name.split('.')[0]}" for f in others}  # of notebooks that are gone
    found = []
    with ThreadPoolExecutor() as pool:  # reading and writing pictures holds no lock
        every = dict(zip(names, pool.map(lambda name: entry(name, figures), names), strict=True))
    for paper in in_order(names):
        entries = [every[name] for name in sorted(names) if name.split("/")[0] == paper]
        claimed = [{**claim, "anchor": e["anchor"]} for e in entries for claim in e["claims"]]
        found.append(
            {
                "key": paper,
                "title": PAPERS.get(paper, paper.replace("_", " ")),
                "entries": [e for e in entries if e["images"] or e["tables"]],
                "absent": [e for e in entries if not (e["images"] or e["tables"])],
                "claims": claimed,
                "counts": count(claimed),
            }
        )
    return found


def in_order(names):
    """Return the folders of notebooks in the order of the page: those of PAPERS, then any others."""
    folders = {name.split("/")[0] for name in names}
    return [paper for paper in PAPERS if paper in folders] + sorted(folders - PAPERS.keys())


def count(rows):
    """Return {verdict: number of claims}, every verdict in the ledger's order."""
    return {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in claims.VERDICTS}


def chance(ledger):
    """Return in a sentence how many verdicts of a ledger may be wrong by chance."""
    tested, decided, expected, kept = claims.by_chance(ledger)
    return (
        f"Of {tested} statements with an interval {decided} are decided. Of that many 95 % intervals about "
        f"{expected:.0f} miss the true value, so up to so many verdicts are wrong by chance; {kept} of the decided "
        "ones remain if fewer than one in twenty of those may be wrong (Benjamini-Hochberg, with p-values that take "
        "every interval as a normal one)."
    )


def checked(figures):
    """Return how many checks of the project itself there are and pass: {all, yes}; empty where there are none."""
    files = figures.glob("*/*.checks.csv")
    rows = [row for f in files for row in claims.read(f, claims.CHECKS).to_dict("records")]
    return {"all": len(rows), "yes": sum(row["passes"] == "yes" for row in rows)} if rows else {}


def entry(name, figures):
    """Return what the page shows of one notebook: title, figures, tables, claims, provenance, links."""
    paper, stem = name.split("/")
    files = {f.name: f for f in stale.results(name, figures)}
    title, caption = heading(name)
    provenance = stale.provenance(name, figures)
    pictures = [f for key, f in files.items() if key.endswith(".png")]
    file = files.get(f"{stem}.claims.csv")
    claimed = claims.read(file, claims.COLUMNS).to_dict("records") if file else []
    return {
        "name": name,
        "anchor": name.replace("/", "-"),
        "title": title or stem.replace("_", " "),
        "caption": caption,
        "images": [
            {"data": embed(f), "link": f"{paper}/{f.name}", "alt": f"{title or name}, figure"} for f in pictures
        ],
        "thumbnail": embed(pictures[0], THUMBNAIL) if pictures else None,
        "tables": [
            {"link": f"{paper}/{f.name}", "file": f.name, **table(f)}
            for key, f in files.items()
            if key.endswith(".csv") and not key.endswith(".claims.csv")
        ],
        "claims": claimed,
        "counts": count(claimed),
        "many": len(claimed) > MANY,
        "notebook": f"{paper}/{stem}.ipynb" if f"{stem}.ipynb" in files else None,
        "provenance": provenance,
        "unfinished": unfinished(provenance),
    }


def unfinished(provenance):
    """Return in words how the last run of a notebook ended if it did not end well, else an empty string."""
    reason = provenance.get("reason")
    said = {"skipped": "skipped this", "failed": "failed", "running": "has not ended"}.get(provenance.get("status"))
    return f"The last run {said}" + (f" ({reason})" if reason else "") if said else ""


def heading(name):
    """Return (title, first paragraph) of a notebook as plain text; empty where there is none."""
    try:
        texts = [text for kind, text, _ in stale.cells(name) if kind == "markdown"]
    except (OSError, ValueError):
        return "", ""
    lines = "\n\n".join(texts[:2]).splitlines()
    title = next((line.lstrip("# ") for line in lines if line.startswith("#")), "")
    prose = "\n".join("" if line.startswith("#") else line for line in lines)
    caption = next((block for block in re.split(r"\n\s*\n", prose) if block.strip()), "")
    return plain(title), plain(caption)


def plain(markdown):
    """Return markdown without its marks: links become their text, emphasis and code lose their signs."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"\s+", " ", re.sub(r"(\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w))", "", text)).strip()


def embed(file, width=WIDTH):
    """Return a PNG as a data address, as WebP and scaled down to `width` where that makes it smaller."""
    from PIL import Image

    content, kind = file.read_bytes(), "png"
    with claims.reading(file), Image.open(io.BytesIO(content)) as image:
        image = image.convert("RGBA" if "A" in image.getbands() else "RGB")
        if image.width > width:
            height = max(1, round(image.height * width / image.width))
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=85, method=2)
    if len(buffer.getvalue()) < len(content):
        content, kind = buffer.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def table(file):
    """Return columns, the first ROWS rows as text and the number of rows left out of a CSV."""
    with claims.reading(file):
        try:
            frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        except pd.errors.EmptyDataError:
            frame = pd.DataFrame()
    numeric = [
        bool(len(frame)) and pd.to_numeric(frame[column].replace("", "nan"), errors="coerce").notna().any()
        for column in frame.columns
    ]
    return {
        "columns": list(zip(frame.columns, numeric, strict=True)),
        "rows": [list(zip(row, numeric, strict=True)) for row in frame.head(ROWS).itertuples(index=False)],
        "more": max(0, len(frame) - ROWS),
        "count": len(frame),
    }


def render(papers, digest, checks=None):
    """Return the page as HTML."""
    from jinja2 import Environment

    template = TEMPLATE.read_text(encoding="utf-8")
    rows = [claim for paper in papers for claim in paper["claims"]]
    counts = count(rows)
    entries = [entry for paper in papers for entry in paper["entries"]]
    revisions = sorted({entry["provenance"].get("revision") for entry in entries} - {None})
    profiles = sorted({entry["provenance"].get("profile") for entry in entries} - {None})
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            papers=papers,
            digest=digest,
            checks=checks,
            counts=counts,
            total=sum(counts.values()),
            chance=chance(pd.DataFrame(rows, columns=claims.COLUMNS)),
            revisions=revisions,
            profiles=profiles,
            figures=sum(len(entry["images"]) for entry in entries),
        )
    )
