"""The frames a prediction needs: a temporal mask learned for one video.

Looks for few, mostly neighbouring frames whose freezing destroys the score of the class. Writes PREFIX.csv (the
mask's value per frame), PREFIX.png (original, Grad-CAM and frozen frames, or those under another perturbation, over the
mask; of a network without maps no Grad-CAM) and PREFIX.npz (everything, to be reopened in the notebooks). Frames count
from 1 in the CSV, the picture and what is printed, and from 0 in the arrays of the .npz.

example: paperlib mask --video jump.mp4 --model synth_ssv2_hard/I3D-original-f16
"""


def arguments(parser):
    """Declare the options of the command."""
    from . import one_video

    one_video.arguments(parser)
    one_video.out_argument(parser)
    parser.add_argument(
        "--preset",
        default="default",
        help="default, as_published, as_released or as_released_kth (default: %(default)s)",
    )
    parser.add_argument(
        "--perturbation",
        default="freeze",
        help="what masked frames undergo: freeze, reverse, shuffle, blur, black or mean (default: %(default)s)",
    )
    parser.add_argument("--iterations", type=int, help="steps of gradient descent (default: the preset's)")


def main(args):
    """Decode, sample, run, learn the mask, write."""
    import pandas as pd
    import torch
    from matplotlib import pyplot as plt

    from .. import masks
    from ..explanation import examples, explaining, measured
    from ..storage import paths
    from . import one_video

    out = one_video.prefix(args, "mask")
    options = {"preset": args.preset, "perturbation": args.perturbation, "iterations": args.iterations}
    masks.resolve(args.preset, args.iterations, {"perturbation": args.perturbation})
    found, model = one_video.look(args)
    layer = explaining.cam_layer(model, found)
    if layer is not None:  # before the mask, which takes longest
        measured.cam(found, model, layer)
    result = measured.mask(found, model, **options)
    table = pd.DataFrame(
        {
            "frame": range(1, len(found.frames) + 1),
            "source_frame": [k + 1 for k in found.info["indices"]],
            "mask": found.mask,
            "on": result.active[0].cpu().numpy(),
            "start": found.arrays["mask_initial"],
        }
    )
    with paths.atomic(out.with_name(out.name + ".csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    example = examples.from_masks(
        result,
        measured.windows(found, model),
        None if layer is None else torch.tensor(found.cam[None]),
        found.classes,
        found.info["model"],
    )[0]
    figure = plt.figure(figsize=(11, 3), layout="constrained")
    examples.strip(figure, example)
    with paths.atomic(out.with_name(out.name + ".png")) as temporary:
        figure.savefig(temporary, dpi=150)
    found.save(out.with_name(out.name + ".npz"))
    on = [str(t + 1) for t in result.active[0].nonzero()[:, 0].tolist()]
    one_video.tell(
        args,
        found,
        one_video.files(out),
        f"masked frames: {' '.join(on) or 'none'}",
        f"mask values moved by up to {result.moved[0]:.2f} in {int(result.iterations[0])} iterations",
    )
