"""Which instrument tells the truth: importance of frames, scored where the frames that matter are known.

`planted` and `spliced` make clips whose classes differ in known frames alone, `spoken` and `annotated` read them off
recordings, `oracle` builds networks that read known frames, `shapley.exact` computes values from all sets of frames.
`score` says how well an instrument, function(model, clips, targets) -> importance [B, N], names those frames;
`INSTRUMENTS` holds ours and captum's, `CONTROLS` those that know nothing, `sanity` what every instrument must pass;
`cost` counts what an instrument computes.

May import: relevance, masks, gradcam, training, tracing, data, storage, errors.
"""

from ..tracing.readout import question, recombined, versus
from . import sanity, shapley
from .costs import cost
from .instruments import CONTROLS, INSTRUMENTS
from .oracles import Known, Oracle, oracle
from .planting import planted, spliced, told_apart
from .recorded import annotated, position_prior, spoken
from .scoring import chance, curves, ranks, score, scores

__all__ = [
    "CONTROLS",
    "INSTRUMENTS",
    "Known",
    "Oracle",
    "annotated",
    "chance",
    "cost",
    "curves",
    "oracle",
    "planted",
    "position_prior",
    "question",
    "ranks",
    "recombined",
    "sanity",
    "score",
    "scores",
    "shapley",
    "spliced",
    "spoken",
    "told_apart",
    "versus",
]
