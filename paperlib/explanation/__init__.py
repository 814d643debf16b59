"""One video and everything that was found about it: what widgets and notebooks reopen without the network.

`explaining.explain`, which is `paperlib.explain`, looks at a video with all instruments and returns an
`explanation.Explanation`, which `artifact.load` opens again. `measured` has a function per instrument, `networks`
opens what a user calls a model, `sliding` says what is seen of a long video. `page` and front/ make a page that scrubs
alone, `pictures`, `examples` and `static` draw; `plotting` is the one look of all figures.

May import: relevance, masks, gradcam, training, models, tracing, data, storage, errors.
"""
