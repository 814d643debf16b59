"""What the paper's text says about its Tables 2 to 6, decided from what the tables print."""

from .. import published
from . import table05_beside_benchmark
from .findings import claim
from .literature import ON_PAR, PRINTED, sota


def of_table2_cost(cost):
    """Return the claim that our counter gives the FLOPs of Table 2; cost: as in `progress`."""
    table2 = sota().set_index("row").FLOPs
    names = {
        "I3D-ResNet50": "I3D-R50-f32",
        "I3D-ResNet101": "I3D-R101-f32",
        "TAM-ResNet50": "TAM-R50-f32",
        "TAM-ResNet101": "TAM-R101-f32",
    }
    error = max(abs(cost(ours) - table2[row]) for row, ours in names.items())
    return [
        claim(
            "Table 2",
            "The FLOPs of I3D and TAM are those of 32 frames of 256 x 256 pixels",
            "largest difference between our count and the printed one, of 4 models (G)",
            "0",
            error,
            error < 0.05,
            PRINTED,
            digits=2,
        )
    ]


def of_table3():
    """Return the claims of Table 3 that its printed numbers decide."""
    table = published.table("deep_analysis_table03").pivot(index="row", columns="column", values="value")
    change = table.uniform - table.dense
    claims = [
        claim(
            "Table 3",
            f"{model} is flexible with respect to the input sampling",
            f"uniform minus dense in points; small means below {ON_PAR:g}",
            f"{change[model]:.2f}",
            change[model],
            abs(change[model]) < ON_PAR,
            PRINTED,
            digits=2,
        )
        for model in ("I3D-ResNet50", "TAM-ResNet50")
    ]
    slow = change["SlowFast-ResNet50-8x8"]
    claims.append(
        claim(
            "Table 3",
            "Uniform sampling costs SlowFast about 5 points",
            "uniform minus dense in points; holds if -5 when rounded",
            "about -5",
            slow,
            round(slow) == -5,
            PRINTED,
            digits=2,
        )
    )
    return claims


def of_table4():
    """Return the claims of Table 4 that its printed numbers decide."""
    table = published.table("deep_analysis_table04").pivot(index="dataset", columns="row", values="value")
    ranges = table.max(axis=1) - table.min(axis=1)
    worst = ranges.idxmax()
    best = table.loc["UCF101"].idxmax()
    return [
        claim(
            "Table 4",
            "The three models differ by less than 2 points on every target dataset",
            f"largest difference of two models in points, on {worst}; {int((ranges < 2).sum())} of 4 "
            "datasets are below 2",
            "< 2",
            ranges.max(),
            (ranges < 2).all(),
            PRINTED,
            digits=2,
        ),
        claim(
            "Table 4",
            "I3D obtains the best accuracy on UCF101",
            f"best is {best}; points ahead",
            "97.12",
            table.loc["UCF101"].nlargest(2).diff().abs().iloc[1],
            best == "I3D-ResNet50",
            PRINTED,
            digits=2,
        ),
    ]


def of_table5():
    """Return the claims of Table 5 that its printed numbers decide."""
    table = published.table("deep_analysis_table05")
    wide = table.pivot(index=["dataset", "backbone", "num_frames"], columns="column", values="value")
    fifty = wide.xs("ResNet50", level="backbone")
    light, heavy = fifty[["TAM", "TSM"]].min(axis=1), fifty[["I3D", "Conv.", "NLN"]].max(axis=1)
    ahead = light - heavy
    gain = wide[["I3D", "Conv.", "TAM"]].mean(axis=1) - wide["None"]
    nln = wide["NLN"].dropna().loc["mini-SSV2"] - wide.loc["mini-SSV2"].loc["ResNet50"]["I3D"]
    return [
        claim(
            "Table 5",
            "TAM and TSM are better than I3D, 1D convolution and NLN with a ResNet50",
            "worse of the first two minus best of the others, smallest of 4 settings, points",
            "better",
            ahead.min(),
            (ahead > 0).all(),
            PRINTED,
            digits=1,
        ),
        claim(
            "Table 5",
            "Temporal modeling is required even on Kinetics",
            "mean of I3D, Conv., TAM minus none on mini-Kinetics, points, smallest of 4 settings",
            "better",
            gain.loc["mini-Kinetics"].min(),
            (gain.loc["mini-Kinetics"] > 0).all(),
            PRINTED,
            digits=1,
        ),
        claim(
            "Table 5",
            "The non-local module does not perform as expected on mini-SSV2",
            "NLN minus I3D in points, largest of 2 settings",
            "negative",
            nln.max(),
            nln.max() < 0,
            PRINTED,
            digits=1,
        ),
    ]


def of_table5_cells(models):
    """Return the claims that Table 5 prints the accuracies of the benchmark page, to one decimal."""
    cells = table05_beside_benchmark(models)
    same = cells.difference.abs() < 0.05 + 1e-9
    claims = []
    for name, part, text in (
        ("columns None, I3D and TAM hold", cells.column != "Conv.", "these columns"),
        ("column Conv. holds", cells.column == "Conv.", "Conv. and the page's S3D"),
    ):
        count = int(part.sum())
        claims.append(
            claim(
                "Table 5",
                f"The {name} the accuracies of the benchmark page",
                f"cells of {text} that agree at one decimal, of {count}; largest difference "
                f"{cells.difference[part].abs().max():.2f} points",
                str(count),
                int(same[part].sum()),
                same[part].all(),
                digits=0,
            )
        )
    return claims


def of_table6():
    """Return the claims of Table 6 that its printed numbers decide."""
    table = published.table("deep_analysis_table06").pivot(index="row", columns="dataset", values="value")
    best = table["mini-SSV2"].idxmax()
    range_ = table["mini-Kinetics"].max() - table["mini-Kinetics"].min()
    return [
        claim(
            "Table 6",
            "The top half of the temporal modules gives the best accuracy on mini-SSV2",
            f"top half minus all in points; best of 4 is {best}",
            "0.6",
            table.loc["Top-half", "mini-SSV2"] - table.loc["All", "mini-SSV2"],
            best == "Top-half",
            PRINTED,
            digits=1,
        ),
        claim(
            "Table 6",
            "Accuracy on mini-Kinetics is not sensitive to number and place of the modules",
            f"largest difference of 4 placements in points; small means below {ON_PAR:g}",
            "0.19",
            range_,
            range_ < ON_PAR,
            PRINTED,
            digits=2,
        ),
    ]
