"""Video networks of the three papers in one framework: backbone, spatio-temporal module, temporal pooling.

    model = models.create("I3D-R50-f16", num_classes=174)
    model(clips)                  # [B, 174] from clips [B, 3, 16, H, W]
    model.frame_logits(clips)     # [B, 16, 174], whose mean over time is the line above

What differs between two networks is one class of modules.py, which also says how to add one. Networks that
do not fit the framework have a file each: original_i3d.py, clstm.py, slowfast.py, torchvision_video.py.

May import: tracing (other people's networks), data (what a clip looks like), storage, errors.
"""

from .adapt import Adapted, adapt
from .counting import count
from .factory import create, names
from .inflation import inflate
from .published_weights import load_published
from .reach import temporal_receptive_field
from .torchvision_video import TorchvisionVideo

__all__ = [
    "Adapted",
    "TorchvisionVideo",
    "adapt",
    "count",
    "create",
    "inflate",
    "load_published",
    "names",
    "temporal_receptive_field",
]
