"""lmms-eval's entry point, by which `python -m lmms_eval --model vtprune` finds the model class."""

from lmms_eval.models.registry_v2 import ModelManifest

manifest = ModelManifest(model_id="vtprune", simple_class_path="vtstudy.evaluation.lmms_model.PrunedModel")
