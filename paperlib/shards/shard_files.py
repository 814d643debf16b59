"""What a shard is: a parquet file that says which clips of which run it holds. Needs no torch."""

import contextlib
import json
from pathlib import Path

import numpy as np

from ..errors import InputError, needs
from ..storage import paths

with needs("pyarrow", to="write the table of a whole data set"):
    import pyarrow as pa
    import pyarrow.parquet as pq

F, I, S = pa.float32(), pa.int64(), pa.string()
# note: empty, or why the clip has no result (its video cannot be read, or min_score)
EVERY = {"video": I, "id": S, "label": I, "predicted": I, "target": I, "score": F, "note": S}
COLUMNS = {
    "relevance": {
        "matrix": pa.list_(pa.list_(F)),  # [T', N]
        "frame_logits": pa.list_(F),  # [T'] of the target, 0 at steps that the model does not predict from
        "atr": pa.list_(F),  # [T']
        "avg_atr": F,
        "max_atr": F,
    },
    "mask": {
        "mask": pa.list_(F),  # [T]
        "initial": pa.list_(F),  # [T]
        "original": F,  # OS, FS, RS and CS of the paper
        "freeze": F,
        "reverse": F,
        "truth": F,
        "perturbed": F,
        "iterations": I,
        "loss": F,
    },
    "gradcam": {
        "maps": pa.list_(pa.list_(pa.list_(F))),  # [T', H', W'], what gradcam.over_frames takes
        "blob_count": F,  # per frame, of the maps over the frames
        "blob_size": F,
        "blob_distance": F,
    },
}
# What a key says of the state that code and files are in: where only these differ, it is the same run, computed anew.
STATE = {"code", "engine", "torch", "data", "videos", "ids"}
GROUP = 256  # rows of a row group of the gathered table
UNREADABLE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


def name(number, shards):
    """Return the file name of shard `number` (from 0) of `shards`."""
    return f"{number:05d}-of-{shards:05d}.parquet"


def folder(out):
    """Return where the shards of the table `out` lie."""
    return Path(out).with_suffix(".shards")


def span(key, number, shards):
    """Return (first, last): shard `number` holds the clips first .. last - 1, whole blocks of key["batch"]."""
    blocks = -(-key["videos"] // key["batch"])
    ends = [min(key["videos"], k * blocks // shards * key["batch"]) for k in (number, number + 1)]
    return tuple(ends)


def column(values, kind, rows):
    """Return an arrow array: values[k] (an array of any rank) for each k in `rows`, null where k is None."""
    if values is None:
        return pa.nulls(len(rows), kind)
    values, leaf = np.ascontiguousarray(values), kind
    while pa.types.is_list(leaf):
        leaf = leaf.value_type
    found = pa.array(values.reshape(-1), leaf)
    for size in reversed(values.shape[1:]):
        found = pa.ListArray.from_arrays(np.arange(0, len(found) + 1, size, dtype=np.int32), found)
    return found.cast(kind).take(pa.array(rows, I))


@contextlib.contextmanager
def writer(file, settings, first, last, schema=None):
    """Yield a ParquetWriter; the file appears under its name when the block ends without an error."""
    key, folder = settings["key"], settings["folder"]
    schema = schema or pa.schema({**EVERY, **COLUMNS[key["kind"]]})
    about = json.dumps({"key": key, "folder": folder, "first": first, "last": last}, sort_keys=True)
    with (
        paths.atomic(file) as temporary,
        pq.ParquetWriter(
            temporary, schema.with_metadata({"paperlib": about}), compression="zstd", write_page_checksum=True
        ) as opened,
    ):
        yield opened


def about(file):
    """Return what a file says of itself, dict(key, folder of its videos, first, last); raises one of UNREADABLE."""
    return json.loads(pq.read_schema(file).metadata[b"paperlib"])


def is_ours(file):
    """Return whether a file says that it is a shard or a table of some run."""
    try:
        return "key" in about(file)
    except UNREADABLE:
        return False


def _differing(key, other):
    """Return the names of what two keys say differently."""
    return [what for what in sorted(key.keys() | other.keys()) if key.get(what) != other.get(what)]


def why_unusable(file, key, first, last):
    """Return in words why `file` does not hold the clips first .. last - 1 of the run `key`, or None if it does."""
    try:
        found = about(file)
        rows = 0
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            for batch in opened.iter_batches():  # reads every page, so that its checksum is compared
                rows += len(batch)
        differ = _differing(key, found["key"])
    except UNREADABLE:
        return "is damaged or was not written by paperlib"
    if differ:
        return f"is of another run ({', '.join(differ)} differ)"
    if (found["first"], found["last"], rows) != (first, last, last - first):
        return f"holds the clips {found['first']} to {found['last'] - 1}, not {first} to {last - 1}"
    return None


def refuse_others(settings):
    """Raise InputError where a table or shards of another run than this one lie where its own would."""
    out = Path(settings["out"])
    for file in [out, *sorted(folder(out).glob("[0-9]*.parquet"))]:
        try:
            theirs = about(file)
            changed = _differing(settings["key"], theirs["key"])
        except UNREADABLE:
            continue
        differ = [what for what in changed if what not in STATE]
        if changed and theirs.get("folder") != settings["folder"]:  # the same videos may have moved
            differ.append("data folder")
        if differ:
            raise InputError(
                f"{file} is of a run with another {', '.join(differ)}; give another --out, or remove {out} and "
                f"{folder(out)}"
            )


def forget_unusable(settings):
    """Remove shards and a table that do not belong to the run; Snakemake then sees that they are missing."""
    key, total = settings["key"], settings["shards"]
    files = {folder(settings["out"]) / name(k, total): span(key, k, total) for k in range(total)}
    for file, (first, last) in {**files, Path(settings["out"]): (0, key["videos"])}.items():
        why = file.exists() and why_unusable(file, key, first, last)
        if why:
            print(f"{file} {why}: computed again", flush=True)
            file.unlink()


def gather(settings, out, shards):
    """Join the files `shards` (all of them, in order) into the table `out`, a few rows at a time."""
    key, total = settings["key"], settings["shards"]
    for k, file in enumerate(shards):
        why = why_unusable(file, key, *span(key, k, total))
        if why:
            raise InputError(f"{file} {why}; remove it and start the run again")
    schema = pq.read_schema(shards[0])
    with writer(out, settings, 0, key["videos"], schema) as opened:
        for table in regrouped(shards):
            opened.write_table(table.replace_schema_metadata(opened.schema.metadata))


def regrouped(files, rows=GROUP):
    """Yield the rows of parquet files in tables of `rows` rows, wherever the files are cut."""
    held = None
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(batch_size=rows):
                table = pa.Table.from_batches([batch])
                held = table if held is None else pa.concat_tables([held, table])
                while len(held) >= rows:
                    yield held.slice(0, rows).combine_chunks()
                    held = held.slice(rows)
    if held is not None and len(held):
        yield held.combine_chunks()


def load(file):
    """Return a shard or gathered table as a DataFrame, one row per clip; attrs say which run it is of.

    Columns of every kind: video, id, label, predicted, target, score, note. Of relevance: matrix [T', N], frame_logits
    and atr [T'], avg_atr, max_atr (frames); of masks: mask and initial [T], the scores original (OS), freeze (FS),
    reverse (RS), truth (CS), perturbed, iterations, loss; of Grad-CAM: maps [T', H', W'], blob_count, blob_size and
    blob_distance (pixels). Cells of several numbers are float32 arrays, None where `note` says why there is none.
    Raises InputError for a file that `paperlib dataset` did not write.
    """
    try:
        said, table = about(file), pq.read_table(file)
    except UNREADABLE:
        raise InputError(f"{file} is not a table written by paperlib dataset") from None
    listed = [field.name for field in table.schema if pa.types.is_list(field.type)]
    frame = table.drop_columns(listed).to_pandas()
    for column_name in listed:
        cells = table[column_name].to_pylist()
        frame[column_name] = [None if cell is None else np.array(cell, np.float32) for cell in cells]
    frame.attrs.update(said["key"])
    return frame
