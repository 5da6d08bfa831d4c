"""Put a model together from the pretrained parts of a preset and the parts trained on them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from openaffect.errors import WeightsError
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.generation import MediaGeneration
from openaffect.models.lora import merge_lora
from openaffect.models.omni_emotion import (
    OmniEmotionConfig,
    OmniEmotionForConditionalGeneration,
    OmniEmotionImageProcessor,
    OmniEmotionProcessor,
)
from openaffect.models.omni_emotion.processing import AUDIO_TOKEN, VIDEO_TOKEN
from openaffect.models.trained_parts import load_trained_parts, read_settings

SUMMARY_TOKENS = 4  # what a stream shows as a whole, then its three most marked clues
# What the small preset chooses where the paper leaves a field open; see docs/weights.md. Whisper's
# middle layers carry emotion, its last one words.
SMALL_CHOICES: dict[str, Any] = {
    "vision_feature_layer": None,
    "vision_pool_stride": 1,
    "audio_pool_stride": 16,
    "audio_crop": True,
    "audio_layers": [1, 2, 3, 4, 5],
    "audio_summary": SUMMARY_TOKENS,
    "audio_summary_dropout": 0.4,
    "audio_signal_size": len(VOICE_STATISTICS),
    "face_grid": None,
    "face_summary": SUMMARY_TOKENS,
    "normalise_features": True,
    "projector_dropout": 0.2,
}
# Modules that no pretrained part has, in the order in which they are drawn.
FRESH_PARTS = (
    *("vision_projector", "audio_projector", "face_projector", "motion_projector"),
    *("class_projector", "cross_attention"),
)
FRAME_GRID = 1  # places a side that a frame is averaged to: one token a frame
ENCODER_PREFIX = "model.encoder."

Model = TypeVar("Model", bound=MediaGeneration)


def speech_encoder(folder: Path) -> WhisperEncoder:
    """The encoder alone of a Whisper folder, in float32.

    Raises:
        WeightsError: its tensors do not fit.
    """
    config = WhisperConfig.from_pretrained(folder)
    with torch.device("meta"):
        encoder = WhisperEncoder(config)
    with safe_open(folder / "model.safetensors", "pt") as file:
        state = {
            name.removeprefix(ENCODER_PREFIX): file.get_tensor(name).float()
            for name in file.keys()  # noqa: SIM118  safe_open is no mapping
            if name.startswith(ENCODER_PREFIX)
        }
    try:
        encoder.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{folder}: holds no whole Whisper encoder") from error
    return encoder.eval()


def load_part(folder: Path) -> PreTrainedModel:
    """A part's model in float32."""
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


def materialise(module: nn.Module, owner: PreTrainedModel) -> None:
    """Real, freshly initialised tensors for a module that was made on the meta device."""
    module.to_empty(device="cpu")
    for part in module.modules():
        owner._init_weights(part)


def assemble_small(
    parts: Mapping[str, Path], trained: Path | None = None, fusion: str | None = None, seed: int = 0
) -> tuple[OmniEmotionForConditionalGeneration, OmniEmotionProcessor]:
    """The small Omni-Emotion from its part folders.

    Args:
        parts: folders of `text`, `speech`, `frame` and `expression`.
        trained: folder of `save_trained_parts`; None leaves projectors and fusion freshly made.
        fusion: overrides the trained parts' fusion; only for a fresh start.
        seed: of the fresh projectors.

    Raises:
        WeightsError: the trained parts do not fit, or were trained for another fusion.
    """
    settings = dict(read_settings(trained)) if trained is not None else {}
    stored = settings.get("fusion")
    if stored is not None and fusion not in (None, stored):
        raise WeightsError(
            f"these weights were trained for fusion {stored}, not {fusion}; "
            "train another set with the recipe's `fusion` field"
        )
    tokenizer = AutoTokenizer.from_pretrained(parts["text"], padding_side="left")
    tokenizer.add_special_tokens({"additional_special_tokens": [VIDEO_TOKEN, AUDIO_TOKEN]})
    towers = small_towers(parts)
    config = OmniEmotionConfig(
        text_config=towers["language_model"].config,
        vision_config=towers["vision_tower"].config,
        audio_config=towers["audio_tower"].config,
        face_config=towers["face_tower"].config,
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        audio_token_id=tokenizer.convert_tokens_to_ids(AUDIO_TOKEN),
        fusion=fusion or stored or "video_concat",
        **SMALL_CHOICES,
    )
    model = around_towers(OmniEmotionForConditionalGeneration, config, towers, seed)
    size = config.text_config.hidden_size
    model.model.image_newline = nn.Parameter(torch.randn(size) / size**0.5)
    model.model.face_newline = nn.Parameter(torch.randn(size) / size**0.5)
    fill_trained(model, trained)
    return model.eval(), small_processor(config, tokenizer)


def small_towers(parts: Mapping[str, Path]) -> dict[str, PreTrainedModel]:
    """The frozen models of the small presets, by their place in either family."""
    frame_tower = load_part(parts["frame"])
    frame_tower.config.output_grid = FRAME_GRID
    return {
        "vision_tower": frame_tower,
        "audio_tower": speech_encoder(parts["speech"]),
        "face_tower": face_tower(parts["expression"]),
        "language_model": load_part(parts["text"]),
    }


def around_towers(
    family: type[Model], config: Any, towers: Mapping[str, PreTrainedModel], seed: int
) -> Model:
    """A model of the family with these towers and fresh projectors; loose parameters stay meta."""
    torch.manual_seed(seed)
    with torch.device("meta"):
        model = family(config)
    for name, tower in towers.items():
        setattr(model.model, name, tower)
    for name in FRESH_PARTS:
        if (part := getattr(model.model, name, None)) is not None:
            materialise(part, model)  # type: ignore[arg-type]
    model.lm_head.weight = model.model.language_model.embed_tokens.weight
    return model


def fill_trained(model: MediaGeneration, trained: Path | None) -> None:
    """Load the parts trained on these towers, if there are any, adapters merged.

    Raises:
        WeightsError: they do not fit.
    """
    if trained is not None and load_trained_parts(model, trained) is not None:
        merge_lora(model.model.language_model)


def face_tower(expression: Path) -> PreTrainedModel:
    """The face tower of the small preset around its expression net."""
    from openaffect.models.encoders.face_signals_tower import FaceSignalsConfig, FaceSignalsTower

    net = AutoModel.from_pretrained(expression).eval()
    tower = FaceSignalsTower(FaceSignalsConfig(expression_config=net.config, mirror=True))
    tower.expression_net = net
    return tower.eval()


def small_processor(config: OmniEmotionConfig, tokenizer: Any) -> OmniEmotionProcessor:
    """The processor whose pictures, mels and token counts fit `config`."""
    vision, face = config.vision_config, config.face_config
    return OmniEmotionProcessor(
        OmniEmotionImageProcessor(
            size=vision.image_size,
            image_mean=vision.image_mean,
            image_std=vision.image_std,
            face_size=face.expression_config.image_size,
            face_mean=(0.0, 0.0, 0.0),
            face_std=(1 / 255, 1 / 255, 1 / 255),
        ),
        WhisperFeatureExtractor(feature_size=config.audio_config.num_mel_bins),
        tokenizer,
        fusion=config.fusion,
        cross_attention_keep_video=config.cross_attention_keep_video,
        tokens_per_frame=vision.output_grid**2,
        tokens_per_face=1,
        audio_pool_stride=config.audio_pool_stride,
        audio_summary=config.audio_summary,
        face_summary=config.face_summary,
        audio_crop=config.audio_crop,
        voice_signals=config.audio_signal_size > 0,
    )
