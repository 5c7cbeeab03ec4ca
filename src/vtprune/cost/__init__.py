"""What pruning costs and saves: an exact model of FLOPs and cache, and measured times. Needs torch and transformers alone."""

from vtprune.cost.model import Cost, Workload, cost, layer_tokens, parameters
from vtprune.cost.shapes import Shape, Stack, shape_of
from vtprune.cost.sizes import SIZES, Size

__all__ = ["SIZES", "Cost", "Shape", "Size", "Stack", "Workload", "cost", "layer_tokens", "parameters", "shape_of"]
