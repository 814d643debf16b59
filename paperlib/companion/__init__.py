"""Regenerating everything: the environment, what is out of date, executing notebooks, the gallery, README's tables.

`bootstrap` makes the environment; `stale` decides by content which notebooks have to be executed; `runner` lets
Snakemake do it; `execute` runs one notebook through papermill; `gallery` and `readme` show what came out.

May import: papers, and all that papers may.
"""
