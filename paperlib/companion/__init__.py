"""Regenerating everything: the environment, what is out of date, executing notebooks, the gallery, README's tables.

`bootstrap` makes the environment; `stale` decides by content which notebooks have to be executed; `runner` lets
Snakemake do it, in the order of `schedule`; `execute` runs one notebook through papermill on a kernel of `kernels`,
forked by `prefork`; `gallery` and `readme` show what came out. The graph, executing notebooks and installing packages
are the work of Snakemake, papermill and pip; each module's first lines say why the rest of it is ours.

May import: papers, and all that papers may.
"""
