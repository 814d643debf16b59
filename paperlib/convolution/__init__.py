"""What PyTorch does slowly or wrongly on a processor, done otherwise: relevance, masks and training share it.

`quick` makes a copy of a network for running it alone; `transposes` has faster input gradients of convolutions
(`transposes.fast_gradients` uses them below autograd); `allocator` keeps freed memory; `half` lets half precision
compute only what it was seen to get right.

Imports no other room.
"""
