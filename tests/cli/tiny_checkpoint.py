"""A checkpoint folder with random weights, for commands that take a model."""

from pathlib import Path

from transformers.utils import logging

from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor


def save_tiny(folder: Path, **changes: object) -> Path:
    """A checkpoint folder of a tiny random Omni-Emotion."""
    logging.disable_progress_bar()
    network = tiny_model(**changes)
    network.save_pretrained(folder)
    tiny_processor(network.config).save_pretrained(folder)
    return folder
