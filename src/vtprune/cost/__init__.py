"""The cost of pruning: an exact model of FLOPs and cache, and measured times."""

from vtprune.cost.flops import Cost, Workload, cost, layer_tokens, parameters
from vtprune.cost.model_shapes import Shape, Stack, shape_of

__all__ = ["Cost", "Shape", "Stack", "Workload", "cost", "layer_tokens", "parameters", "shape_of"]
