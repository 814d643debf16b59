"""Frame-by-frame relevance of one video: which input frames each frame's prediction rests on.

Writes PREFIX.csv (the matrix: row i explains frame logit i, column j is input frame j), PREFIX.png (the
picture) and PREFIX.npz (everything, to be reopened in the notebooks).

example: paperlib relevance --video jump.mp4 --model synth_ssv2/TAM2D-R50-f8
"""


def arguments(parser):
    """Declare the options of the command."""
    from ..explanation.artifact import video_arguments

    video_arguments(parser)
    parser.add_argument(
        "--method", choices=("clrp", "lrp"), default="clrp", help="contrastive relevance (default) or plain LRP"
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=0.975,
        help="share of a row's relevance that the active temporal range holds (default: 0.975)",
    )


def main(args):
    """Decode, sample, run, explain, write."""
    import pandas as pd

    from .. import relevance
    from ..explanation import artifact, pictures
    from ..storage import paths

    found, model = artifact.from_arguments(args)
    clip = found.clip.to(next(model.parameters()).device)
    matrix = relevance.relevance_matrix(model, clip, [found.info["target"]], method=args.method).cpu()
    logits = found.arrays["frame_logits"][None, :, found.info["target"]]
    atr = relevance.atr(matrix, logits, sigma=args.sigma)
    found.arrays.update(matrix=matrix[0].numpy(), atr=atr.frames[0].numpy(), segments=atr.segments[0].numpy())
    found.info.update(method=args.method, sigma=args.sigma, avg_atr=float(atr.avg[0]), max_atr=float(atr.max[0]))
    out = artifact.prefix(args, "relevance")
    rows, columns = matrix.shape[1:]
    table = pd.DataFrame(matrix[0].numpy(), columns=[f"frame {j + 1}" for j in range(columns)])
    table.insert(0, "output", range(1, rows + 1))
    with paths.atomic(out.with_name(out.name + ".csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with paths.atomic(out.with_name(out.name + ".png")) as temporary:
        pictures.relevance(found).savefig(temporary, dpi=150)
    found.save(out.with_name(out.name + ".npz"))
    predicted = found.info["classes"][found.info["predicted"]]
    print(
        f"predicted: {predicted} ({found.arrays['scores'].max():.1%} by {found.info['scores']}); "
        f"explained: {found.target_name}\n"
        f"avg-ATR {atr.avg[0]:.2f} of {columns} frames, max-ATR {atr.max[0]:.0f}\n"
        f"{out}.csv, {out}.png, {out}.npz"
    )
