"""The forward and backward passes of a training step as one recorded graph of an NVIDIA GPU.

A narrow network keeps a GPU busy for a fraction of the time that it takes to call its thousand kernels one by one;
recorded, a step is two calls, and several trainings on one card no longer wait for the processor.
"""

import torch


def captured(predict, shape, device, half):
    """Return `predict` recorded for training on clips of this shape; as it is where it cannot be recorded.

    predict: module, clip [B, 3, T, H, W] -> scores [B, K]; half: whether the passes are in bfloat16. What recording
    itself does to running statistics is undone. In evaluation the module computes as ever.
    """
    if device.type != "cuda":
        return predict
    predict.train()
    before = [buffer.clone() for buffer in predict.buffers()]
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=half, cache_enabled=False):
            return torch.cuda.make_graphed_callables(predict, (torch.zeros(shape, device=device),))
    except RuntimeError as error:
        print(f"the steps cannot be recorded, so they are called one by one ({str(error).splitlines()[0]})", flush=True)
        return predict
    finally:
        torch.cuda.synchronize(device)
        with torch.no_grad():
            for buffer, value in zip(predict.buffers(), before, strict=True):
                buffer.copy_(value)
        predict.zero_grad(set_to_none=True)
