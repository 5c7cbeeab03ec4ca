"""Replicas of what the study fetches from the Hub: true in structure, small in width, random in weights.

    write_models(root, "llava-hf/llava-1.5-7b-hf")
    write_data_sets(root, "pope", "mme")
    with LocalHub(root) as hub: ...

The models have the published configurations, numbers of layers, geometry, tokenizer classes, chat templates, file and
weight names and shards, under the Hub's ids. The data sets have the published configurations, splits and columns, in
several shards each.
"""

from helpers.replicas.data_sets import DATA_SETS, rows_in, write_data_sets
from helpers.replicas.models import MODELS, write_models

__all__ = ["DATA_SETS", "MODELS", "rows_in", "write_data_sets", "write_models"]
