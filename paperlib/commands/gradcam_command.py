"""Where a model looks in each frame of one video: Grad-CAM over time, and its blobs.

Writes PREFIX.csv (number, size and distance from the centre of each frame's blobs), PREFIX.png (the maps
over the frames) and PREFIX.npz (everything, to be reopened in the notebooks). Frames count from 1 in the CSV, the
picture and what is printed, and from 0 in the arrays of the .npz.

example: paperlib gradcam --video jump.mp4 --model synth_ssv2_hard/I3D-original-f16 --class "moving something up"
"""


def arguments(parser):
    """Declare the options of the command."""
    from . import one_video

    one_video.arguments(parser)
    one_video.out_argument(parser)
    parser.add_argument(
        "--layer",
        help="layer whose maps are weighted (default: the family's, such as the "
        "last Inception module; 'slow' or 'fast' for SlowFast)",
    )
    parser.add_argument(
        "--normalise",
        choices=("frame", "clip"),
        default="frame",
        help="scale each frame's map to 0..1, or all by the clip's maximum (default: frame)",
    )
    parser.add_argument(
        "--softmax",
        action="store_true",
        help="explain the score (softmax or sigmoid, see --scores) instead of the logit",
    )


def main(args):
    """Decode, sample, run, explain, write."""
    from ..explanation import examples, measured
    from ..gradcam import blobs
    from ..storage import paths
    from . import one_video

    out = one_video.prefix(args, "gradcam")
    found, model = one_video.look(args)
    measured.cam(found, model, args.layer, args.normalise, args.softmax)
    table = blobs.measure(found.cam[None])
    found.info["detector"] = table.attrs["detector"]
    shown = table.drop(columns="clip").assign(frame=table["frame"] + 1)
    shown.insert(1, "source_frame", [k + 1 for k in found.info["indices"]])
    with paths.atomic(out.with_name(out.name + ".csv")) as temporary:
        shown.to_csv(temporary, index=False, float_format="%.6g")
    with paths.atomic(out.with_name(out.name + ".png")) as temporary:
        examples.maps(found).savefig(temporary, dpi=150)
    found.save(out.with_name(out.name + ".npz"))
    clip_means = blobs.per_clip(table).iloc[0]
    found_blobs = (
        f"blobs per frame {clip_means['count']:.2f}, diameter {clip_means['size']:.1f} pixels, "
        f"{clip_means['center_distance']:.1f} pixels from the centre"
    )
    one_video.tell(args, found, one_video.files(out), found_blobs if clip_means["count"] else "no blobs")
