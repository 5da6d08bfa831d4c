"""Where a model runs, checked before anything is loaded."""

from contextlib import suppress

import torch

from openaffect.errors import UsageError


def checked_device(name: str) -> torch.device:
    """The device of that name, such as `cpu`, `cuda` or `cuda:1`.

    Raises UsageError where PyTorch knows none of that name or finds none here.
    """
    counts = {
        "cpu": 1,
        # A driver too old for this PyTorch has devices that cannot be used.
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    with suppress(RuntimeError):  # a name that PyTorch does not know
        device = torch.device(name)
        if (device.index or 0) < counts.get(device.type, 0):
            return device
    there = [f"{kind}:{at}" if at else kind for kind in counts for at in range(counts[kind])]
    raise UsageError(f"device {name!r}: PyTorch finds no such device; there is {', '.join(there)}")
