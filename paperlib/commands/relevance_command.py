"""Frame-by-frame relevance of one video: which input frames each frame's prediction rests on.

Writes PREFIX.csv (the matrix: row i explains output step i, which is a frame logit, or a part of the clip's logit: see
the notes; column j is input frame j), PREFIX.png (the picture) and PREFIX.npz (everything, to be reopened in the
notebooks). Frames count from 1 in the CSV, the picture and the notes, and from 0 in the arrays of the .npz.

example: paperlib relevance --video jump.mp4 --model synth_ssv2_hard/TAM2D-R50-f8
"""


def arguments(parser):
    """Declare the options of the command."""
    from . import one_video

    one_video.arguments(parser)
    one_video.out_argument(parser)
    parser.add_argument(
        "--method", choices=("clrp", "lrp"), default="clrp", help="contrastive relevance (default) or plain LRP"
    )
    parser.add_argument(
        "--sigma",
        type=float,
        default=0.975,
        help="share of a row's relevance that its ATR holds (default: 0.975)",
    )


def main(args):
    """Decode, sample, run, explain, write."""
    import pandas as pd

    from ..explanation import measured, pictures
    from ..relevance.atr import check_sigma
    from ..storage import paths
    from . import one_video

    out = one_video.prefix(args, "relevance")
    check_sigma(args.sigma)
    found, model = one_video.look(args)
    measured.relevance(found, model, args.method, args.sigma)
    rows, columns = found.matrix.shape
    table = pd.DataFrame(found.matrix, columns=[f"frame {j + 1}" for j in range(columns)])
    table.insert(0, "output", range(1, rows + 1))
    with paths.atomic(out.with_name(out.name + ".csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with paths.atomic(out.with_name(out.name + ".png")) as temporary:
        pictures.relevance(found).savefig(temporary, dpi=150)
    found.save(out.with_name(out.name + ".npz"))
    one_video.tell(args, found, one_video.files(out))
