"""What the notebooks compute, a folder per paper, and what they share.

`temporal_relevance/`, `video_features/`, `deep_analysis/` and, for questions that no paper asked, `beyond/`. Shared:
`report.start` begins a notebook (settings of `profiles/`, seeds, device, saving, claims), `published` has the printed
numbers, `claims` the ledger of what the papers state, `analysis` what a model does on a data set, kept for all
notebooks, `statistics` the intervals, `needs` what a notebook lacks.

May import: explanation, the instruments, training, models, tracing, data, storage, errors.
"""
