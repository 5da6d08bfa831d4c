"""Load a checkpoint folder with every key accounted for, and write one with trained parts in it."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoModelForMultimodalLM, AutoProcessor

from openaffect.errors import ConfigError, WeightsError
from openaffect.models.checkpoints.published_configs import read_json
from openaffect.models.checkpoints.writer import folder_at_once
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.emotion_llama import EmotionLlamaConfig
from openaffect.models.generation import MediaGeneration
from openaffect.models.lora import lora_state, merge_lora
from openaffect.models.omni_emotion import OmniEmotionConfig
from openaffect.models.trained_parts import (
    TEMPERATURE,
    TEMPERATURE_ALONE,
    TRAINED_LABELS,
    load_trained_parts,
    read_settings,
)

FAMILIES = (OmniEmotionConfig.model_type, EmotionLlamaConfig.model_type)


def load_checkpoint(folder: Path) -> tuple[MediaGeneration, ClipProcessor]:
    """The model and the processor of a folder that `openaffect models build` wrote.

    transformers draws a missing tensor at random and drops one that it does not know with no more
    than a log line; here either is an error.

    Raises:
        ConfigError: the folder holds another kind of model.
        WeightsError: files or tensors are missing, damaged, left over, or of another shape.
    """
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in FAMILIES:
        raise ConfigError(f"{folder}: holds a model of type {kind}, not {' or '.join(FAMILIES)}")
    try:
        network, info = AutoModelForMultimodalLM.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True
        )
        processor: Any = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError, SafetensorError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{folder}: holds no whole checkpoint ({why})") from error
    for fault, told in (
        ("missing_keys", "are missing"),
        ("unexpected_keys", "do not belong to this model"),
        ("mismatched_keys", "have another shape"),
    ):
        names = sorted(str(key if isinstance(key, str) else key[0]) for key in info[fault])
        if names:
            raise WeightsError(f"{folder}: {len(names)} tensors {told}, first: {names[0]}")
    return network.eval(), processor


def write_with_trained(checkpoint: Path, trained: Path, out: Path) -> None:
    """Write a checkpoint folder with parts in it that were trained on it, adapters merged.

    Adapters that belong to the model itself, as Emotion-LLaMA's do, stay adapters. The temperatures
    of label probabilities that training fitted go into the configuration, and labels that it was
    fitted on into the processor.

    Args:
        checkpoint: the folder that the recipe named as its `model`.
        trained: the `trained` folder of a run.
        out: the folder to make; it appears when it is whole.

    Raises:
        UsageError: `out` is in use.
        WeightsError: tensors are missing, left over, or of another shape.
    """
    model, processor = load_checkpoint(checkpoint)
    own_adapters = bool(lora_state(model.model.language_model))
    load_trained_parts(model, trained)
    if not own_adapters:
        merge_lora(model.model.language_model)
    settings = read_settings(trained)
    if TEMPERATURE in settings:
        model.config.label_temperature = settings[TEMPERATURE]
        model.config.label_temperature_alone = settings.get(TEMPERATURE_ALONE)
    if TRAINED_LABELS in settings:
        processor.labels = list(settings[TRAINED_LABELS])
    with folder_at_once(out) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
