"""What is found out about any network, whoever wrote it: what it takes and gives, what it computes and where time is.

inputs and outputs: one check of networks and clips, and the class logits in what a forward returns; probing: a
network held still and asked about classes; readout: another question of the same features. recording: what a network
computes, as a list of operations; following, axes, slices: which axis of each tensor is time.

May import: convolution, errors.
"""
