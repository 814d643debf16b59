"""Relevance, masks and Grad-CAM of a whole data set, computed in shards and gathered into one table.

`shard_files` says what a shard is and reads and writes it; `compute` plans a run and computes one shard; the Snakefile
beside them is all that runs them: over cores and GPUs, or on a cluster through one of Snakemake's executors.

Clips are explained in blocks of `--batch`, cut from the data set at fixed places, and a shard is a run of whole
blocks. What is computed together is therefore the same for any number of shards and workers, and so are the bits
of the gathered table.

May import: papers, and all that papers may.
"""

from .shard_files import load

__all__ = ["load"]
