"""The precision in which scores are computed that must not depend on a batch's shape."""

import torch


def precise_type(device: torch.device) -> torch.dtype:
    """float64 on the CPU, where the last bits of a float32 sum depend on the shape of the batch; float32 elsewhere.

    On other devices float64 is too slow, or does not exist.
    """
    return torch.float64 if device.type == "cpu" else torch.float32
