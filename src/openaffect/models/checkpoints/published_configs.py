"""Configurations of the published parts, read from their folders, as an OmniEmotionConfig."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, Qwen2Config, SiglipVisionConfig, WhisperConfig

from openaffect.errors import WeightsError
from openaffect.models.encoders.facexformer import FaceXFormerEncoderConfig
from openaffect.models.omni_emotion.configuration import OmniEmotionConfig
from openaffect.models.omni_emotion.full_size import SIGLIP_SO400M

# The original LLaVA layout names its vision tower and no sizes.
NAMED_VISION_TOWERS = {"google/siglip-so400m-patch14-384": SIGLIP_SO400M}

# What the original layout must say for our visual path to be the one it was trained with; a key
# that is absent or null has LLaVA-NeXT's default, which is the same. `mm_spatial_pool_mode` is not
# among them: LLaVA-OneVision's own evaluation sets it to bilinear while loading.
ORIGINAL_VIDEO_PATH = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_newline_position": "one_token",
}
BOOKKEEPING = {"architectures", "dtype", "transformers_version"}  # of the file, not of a model
HF_VIDEO_PATH = {
    "vision_feature_layer": -1,
    "vision_feature_select_strategy": "full",
    "projector_hidden_act": "gelu",
}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint folder.

    Raises:
        WeightsError: the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file") from error
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds no JSON object")
    return content


def known_fields(config_class: type[PreTrainedConfig], content: dict[str, Any]) -> dict[str, Any]:
    """The entries that a configuration class has fields for."""
    names = {field.name for field in fields(config_class)} - BOOKKEEPING
    kept = {key: value for key, value in content.items() if key in names}
    if "rope_theta" in content and "rope_parameters" not in kept:
        kept["rope_parameters"] = {"rope_type": "default", "rope_theta": content["rope_theta"]}
    return kept


def require(path: Path, content: dict[str, Any], expected: dict[str, Any]) -> None:
    """Stop where a value that `content` states is another than the expected one.

    Raises:
        WeightsError: it is.
    """
    for key, value in expected.items():
        if content.get(key) not in (None, value):
            raise WeightsError(
                f"{path}: {key} is {content[key]!r}, and {value!r} is what is built from"
            )


def read_llava(
    folder: Path, vision_config: SiglipVisionConfig | None = None, vocabulary: int | None = None
) -> tuple[Qwen2Config, SiglipVisionConfig]:
    """Text and vision configuration of a LLaVA-OneVision folder, in either published layout.

    `vision_config` stands in for the sizes of a vision tower that the original layout only names;
    `vocabulary` is the number of rows of the embeddings, which may be padded beyond what
    config.json says.

    Raises:
        WeightsError: the folder is of another model, or describes another visual path.
    """
    path = folder / "config.json"
    content = read_json(path)
    rows = {} if vocabulary is None else {"vocab_size": vocabulary}
    if "text_config" in content and "vision_config" in content:
        require(path, content, HF_VIDEO_PATH)
        text, vision = content["text_config"], content["vision_config"]
        require(path, text, {"model_type": "qwen2"})
        require(path, vision, {"model_type": "siglip_vision_model"})
        tied = content.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
        sizes = known_fields(Qwen2Config, text) | {"tie_word_embeddings": tied} | rows
        return Qwen2Config(**sizes), SiglipVisionConfig(**known_fields(SiglipVisionConfig, vision))
    if "mm_projector_type" not in content:
        raise WeightsError(
            f"{path}: describes no LLaVA-OneVision model (model_type "
            f"{content.get('model_type')!r}); give a folder of llava-onevision-qwen2-7b-ov"
        )
    require(path, content, ORIGINAL_VIDEO_PATH)
    if vision_config is None:
        name = content.get("mm_vision_tower")
        if name not in NAMED_VISION_TOWERS:
            known = ", ".join(NAMED_VISION_TOWERS)
            raise WeightsError(f"{path}: the vision tower {name!r} is not one of {known}")
        vision_config = SiglipVisionConfig(**NAMED_VISION_TOWERS[name])
    return Qwen2Config(**(known_fields(Qwen2Config, content) | rows)), vision_config


def read_whisper(folder: Path) -> WhisperConfig:
    """Configuration of a Whisper folder.

    Raises:
        WeightsError: the folder is of another model.
    """
    path = folder / "config.json"
    content = read_json(path)
    require(path, content, {"model_type": "whisper"})
    return WhisperConfig(**known_fields(WhisperConfig, content))


def assembled_config(
    llava: Path,
    whisper: Path,
    face_config: FaceXFormerEncoderConfig | None = None,
    vision_config: SiglipVisionConfig | None = None,
    vocabulary: int | None = None,
    **choices: Any,
) -> OmniEmotionConfig:
    """The configuration of the model that these parts make.

    `choices` are fields of OmniEmotionConfig that the parts do not settle; the other arguments are
    those of `read_llava`.
    """
    text, vision = read_llava(llava, vision_config, vocabulary)
    return OmniEmotionConfig(
        text_config=text,
        vision_config=vision,
        audio_config=read_whisper(whisper),
        face_config=face_config or FaceXFormerEncoderConfig(),
        **choices,
    )
