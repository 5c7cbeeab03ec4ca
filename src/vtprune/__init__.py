"""Visual token pruning for vision-language models.

The public names live in `vtprune.api`, which is imported when the first of them is asked for:
stages that only render or report neither import torch nor depend on the methods.
"""


def __getattr__(name: str):
    if name.startswith("_") and name != "__version__":
        raise AttributeError(f"module 'vtprune' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("vtprune.api"), name)
