"""One clip and everything that was found about it: what widgets and notebooks reopen without the network.

`artifact` makes, saves and opens it; `pictures` and `examples` draw it; `plotting` is the one look of all figures.

May import: relevance, masks, gradcam, training, models, data, storage, errors.
"""
