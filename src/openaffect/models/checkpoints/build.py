"""Put Omni-Emotion together from its published parts: one checkpoint, streamed, fully accounted.

The parts are LLaVA-OneVision-Qwen2 (vision tower, its projector, newline, language model),
Whisper (its encoder) and FaceXFormer (its encoder). What none of them holds, the audio and face
projectors, the marker after a person's faces and the cross attention, is initialised from a seed
and left to the training stages.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, SiglipVisionConfig, WhisperFeatureExtractor

from openaffect.errors import WeightsError
from openaffect.models.checkpoints.assemble import BESIDE_MODEL, assemble
from openaffect.models.checkpoints.layouts import (
    FACEXFORMER_LAYOUTS,
    LLAVA_LAYOUTS,
    NEW_PARTS,
    WHISPER_LAYOUTS,
)
from openaffect.models.checkpoints.published_configs import assembled_config
from openaffect.models.checkpoints.report import KeyReport, LeftKey, find_layout
from openaffect.models.checkpoints.sources import TensorSource, open_folder, open_torch_entry
from openaffect.models.checkpoints.writer import (
    SHARD_BYTES,
)
from openaffect.models.encoders.facexformer import (
    FaceXFormerEncoderConfig,
    relative_position_index,
)
from openaffect.models.omni_emotion import (
    OmniEmotionConfig,
    OmniEmotionForConditionalGeneration,
    OmniEmotionImageProcessor,
    OmniEmotionProcessor,
)
from openaffect.models.omni_emotion.processing import AUDIO_TOKEN, VIDEO_TOKEN

FACEXFORMER_ENTRY = "state_dict_backbone"  # holds the whole FaceXFormer, in spite of its name
EMBEDDINGS = "model.language_model.embed_tokens.weight"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")  # either will do
IMAGE_TOKEN = "<image>"  # LLaVA's; taken first so that ours have the ids of its published files


def build_omni_emotion(
    llava: Path,
    whisper: Path,
    facexformer: Path,
    out: Path,
    *,
    dtype: str = "bfloat16",
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    face_config: FaceXFormerEncoderConfig | None = None,
    vision_config: SiglipVisionConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> KeyReport:
    """Write the assembled model, its processor and the account of its keys into a new folder.

    Args:
        llava: folder of llava-onevision-qwen2, original or transformers layout.
        whisper: folder of a Whisper model in transformers' layout.
        facexformer: FaceXFormer's training checkpoint (`model.pt`).
        out: the folder to make; it appears when everything in it is complete.
        dtype: number type of the written checkpoint.
        seed: of the parts that no checkpoint holds.
        shard_bytes: size at which a new file is begun.
        face_config: sizes of the face encoder, whose file holds no configuration.
        vision_config: sizes of the vision tower, where the LLaVA folder only names it.
        progress: called with bytes written and bytes in all.
        choices: fields of OmniEmotionConfig that the parts do not settle, such as `fusion`.

    Raises:
        UsageError: `out` is in use.
        WeightsError: a part cannot be read, or a key is unexpected, missing or of another shape;
            the report then lies beside `out`, with its name and `.key_report.json`.
    """
    tokenizer = read_tokenizer(llava)
    llava_source = open_folder(llava)
    config = assembled_config(
        llava,
        whisper,
        face_config,
        vision_config,
        embedding_rows(llava_source),
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        audio_token_id=tokenizer.convert_tokens_to_ids(AUDIO_TOKEN),
        **choices,
    )
    face_source, face_entries = open_torch_entry(facexformer, FACEXFORMER_ENTRY)
    parts = (
        (llava_source, LLAVA_LAYOUTS),
        (open_folder(whisper), WHISPER_LAYOUTS),
        (face_source, FACEXFORMER_LAYOUTS),
    )
    with torch.device("meta"):
        model = OmniEmotionForConditionalGeneration(config)
    face_part = FACEXFORMER_LAYOUTS[0].name
    beside_model = [LeftKey(face_part, name, (), BESIDE_MODEL) for name in face_entries]

    def beside(folder: Path) -> None:
        assembled_processor(config, tokenizer, whisper).save_pretrained(folder)
        if (llava / "generation_config.json").is_file():
            shutil.copyfile(llava / "generation_config.json", folder / "generation_config.json")

    return assemble(
        model,
        parts,
        out,
        new=NEW_PARTS,
        checks=value_checks(config),
        left=beside_model,
        dtype=dtype,
        seed=seed,
        shard_bytes=shard_bytes,
        beside=beside,
        progress=progress,
    )


def embedding_rows(llava: TensorSource) -> int | None:
    """Rows of the language model's embeddings; None where they are missing."""
    keys = llava.keys()
    layout = find_layout(keys, LLAVA_LAYOUTS, llava.path)
    for key in keys:
        rule = layout.rule(key)
        if rule is not None and rule.rename(key) == EMBEDDINGS:
            return llava.shape(key)[0]
    return None


def value_checks(config: OmniEmotionConfig) -> dict[str, Callable[[Tensor], bool]]:
    """How published buffers are compared with what our modules compute."""
    expected = relative_position_index(config.face_config.window_size)  # type: ignore[union-attr]
    return {"relative_position_index": lambda found: torch.equal(found.flatten().long(), expected)}


def read_tokenizer(llava: Path) -> Any:
    """The tokenizer of a LLaVA folder with our placeholders added.

    Raises:
        WeightsError: the folder holds no tokenizer.
    """
    if not any((llava / name).is_file() for name in TOKENIZER_FILES):
        raise WeightsError(
            f"{llava}: holds no tokenizer; looked for {' and '.join(TOKENIZER_FILES)} of LLaVA's"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(llava, local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{llava}: holds no readable tokenizer ({str(error).splitlines()[0]})"
        ) from error
    placeholders = [IMAGE_TOKEN, VIDEO_TOKEN, AUDIO_TOKEN]
    tokenizer.add_special_tokens(
        {"additional_special_tokens": placeholders}, replace_extra_special_tokens=False
    )
    return tokenizer


def assembled_processor(
    config: OmniEmotionConfig, tokenizer: Any, whisper: Path
) -> OmniEmotionProcessor:
    """The processor that lays text and media out as the configuration says."""
    vision: Any = config.vision_config
    audio: Any = config.audio_config
    face: Any = config.face_config
    if (whisper / "preprocessor_config.json").is_file():
        extractor = WhisperFeatureExtractor.from_pretrained(whisper)
    else:
        extractor = WhisperFeatureExtractor(feature_size=audio.num_mel_bins)
    side = vision.image_size // vision.patch_size
    face_positions = face.sequence_length if config.face_grid is None else config.face_grid**2
    return OmniEmotionProcessor(
        OmniEmotionImageProcessor(size=vision.image_size, face_size=face.image_size),
        extractor,
        tokenizer,
        fusion=config.fusion,
        cross_attention_keep_video=config.cross_attention_keep_video,
        tokens_per_frame=(-(-side // config.vision_pool_stride)) ** 2,
        tokens_per_face=face_positions,
        audio_pool_stride=config.audio_pool_stride,
        audio_summary=config.audio_summary,
        face_summary=config.face_summary,
        audio_crop=config.audio_crop,
    )
