"""Put Emotion-LLaMA together from its published parts, and write its checkpoint as released.

The parts are a released checkpoint (adapters and projections), Llama-2-7b-chat, BLIP-2's EVA
ViT-g, the FaceMAE and VideoMAE checkpoints, and chinese-hubert-large. The released code reads its
checkpoint without checking, so that a newer peft silently loses every adapter; here every key is
accounted for, whatever peft wrote it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, HubertConfig, LlamaConfig, Wav2Vec2FeatureExtractor

from openaffect.errors import UsageError, WeightsError
from openaffect.models.checkpoints.assemble import BESIDE_MODEL, assemble
from openaffect.models.checkpoints.derived import (
    DerivedSource,
    join_qv_bias,
    resized_positions,
    split_qkv,
)
from openaffect.models.checkpoints.emotion_llama_layouts import (
    HUBERT_LAYOUTS,
    LLAMA_LAYOUTS,
    LN_VISION,
    LORA_RULES,
    MAE_LAYOUTS,
    MINIGPT_NEW,
    PROJECTION_RULES,
    RELEASED_LAYOUTS,
    VIDEOMAE_LAYOUTS,
    eva_layouts,
)
from openaffect.models.checkpoints.published_configs import known_fields, read_json, require
from openaffect.models.checkpoints.report import KeyReport, LeftKey
from openaffect.models.checkpoints.sources import (
    TensorSource,
    open_folder,
    open_torch_entry,
    open_torch_file,
)
from openaffect.models.checkpoints.writer import SHARD_BYTES
from openaffect.models.emotion_llama import (
    EmotionLlamaConfig,
    EmotionLlamaForConditionalGeneration,
    EmotionLlamaImageProcessor,
    EmotionLlamaProcessor,
)
from openaffect.models.emotion_llama.processing import Layout

RELEASED_ENTRY = "model"
STATE_ENTRIES = ("model", "module")  # under which torch files keep their state dict
LORA_ALPHA = 16  # of a released checkpoint whose own configuration does not say


def build_emotion_llama(
    checkpoint: Path,
    llama: Path,
    eva: Path,
    mae: Path,
    videomae: Path,
    hubert: Path,
    out: Path,
    *,
    start: bool = False,
    layout: Layout = "consistent",
    dtype: str = "bfloat16",
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> KeyReport:
    """Write the assembled model, its processor and the account of its keys into a new folder.

    Args:
        checkpoint: a released checkpoint, or MiniGPT-v2's where `start` is set.
        llama: folder of Llama-2-7b-chat in transformers' layout.
        eva: BLIP-2's `eva_vit_g.pth`.
        mae: the FaceMAE checkpoint.
        videomae: the VideoMAE checkpoint.
        hubert: folder of chinese-hubert-large.
        out: the folder to make; it appears when everything in it is complete.
        start: the checkpoint is where training starts from: projections of the feature tokens
            that it does not hold are drawn from the seed.
        layout: of the prompts, see `EmotionLlamaProcessor`; training's own by default.
        dtype: number type of the written checkpoint; adapters and projections stay float32.
        seed: of the parts that no checkpoint holds.
        shard_bytes: size at which a new file is begun.
        progress: called with bytes written and bytes in all.
        choices: fields of EmotionLlamaConfig that the parts do not settle, such as `frame`, and
            `vision_config`, `face_config`, `motion_config` where towers have other sizes.

    Raises:
        UsageError: `out` is in use.
        WeightsError: a part cannot be read, or a key is unexpected, missing or of another shape;
            the report then lies beside `out`, with its name and `.key_report.json`.
    """
    released, beside_weights = open_torch_entry(checkpoint, RELEASED_ENTRY)
    config = EmotionLlamaConfig(
        text_config=_read(LlamaConfig, llama, {"model_type": "llama"}),
        audio_config=_read(HubertConfig, hubert, {"model_type": "hubert"}),
        lora_r=_rank(released),
        lora_alpha=_alpha(beside_weights),
        **choices,
    )
    processor = emotion_llama_processor(config, llama, hubert, layout)
    with torch.device("meta"):
        model = EmotionLlamaForConditionalGeneration(config)
    eva_source, mae_source, motion_source = (
        open_torch_file(path, STATE_ENTRIES) for path in (eva, mae, videomae)
    )
    vision: Any = config.vision_config
    positions = (vision.image_size // vision.patch_size) ** 2 + 1
    parts = (
        (released, RELEASED_LAYOUTS),
        (open_folder(llama), LLAMA_LAYOUTS),
        (
            DerivedSource(
                eva_source[0],
                join_qv_bias(eva_source[0])
                + resized_positions(eva_source[0], "pos_embed", positions),
            ),
            eva_layouts(vision.num_hidden_layers),
        ),
        (_split(mae_source[0], ("attn.qkv.weight", "attn.qkv.bias")), MAE_LAYOUTS),
        (_split(motion_source[0], ("attn.qkv.weight",)), VIDEOMAE_LAYOUTS),
        (open_folder(hubert), HUBERT_LAYOUTS),
    )
    entries = (
        (RELEASED_LAYOUTS[0].name, list(beside_weights)),
        ("EVA ViT-g", eva_source[1]),
        (MAE_LAYOUTS[0].name, mae_source[1]),
        ("VideoMAE ViT", motion_source[1]),
    )

    return assemble(
        model,
        parts,
        out,
        new=MINIGPT_NEW if start else LN_VISION,
        checks={},
        left=[LeftKey(part, name, (), BESIDE_MODEL) for part, names in entries for name in names],
        dtype=dtype,
        seed=seed,
        shard_bytes=shard_bytes,
        beside=processor.save_pretrained,
        progress=progress,
    )


def _read(config_class: Any, folder: Path, expected: dict[str, Any]) -> Any:
    path = folder / "config.json"
    content = read_json(path)
    require(path, content, expected)
    return config_class(**known_fields(config_class, content))


def _rank(released: TensorSource) -> int:
    """Rows of the adapters' first matrix.

    Raises:
        WeightsError: the checkpoint has no adapters.
    """
    for key in released.keys():  # noqa: SIM118  no dictionary
        if "lora_A" in key:
            return released.shape(key)[0]
    raise WeightsError(f"{released.path}: holds no adapters (no key has lora_A in its name)")


def _alpha(beside_weights: Mapping[str, Any]) -> int:
    """`lora_alpha` of the configuration that the released code stores beside the weights."""
    stored = beside_weights.get("config")
    model = stored.get("model") if isinstance(stored, Mapping) else None
    return int(model.get("lora_alpha", LORA_ALPHA)) if isinstance(model, Mapping) else LORA_ALPHA


def _split(source: TensorSource, leaves: tuple[str, ...]) -> DerivedSource:
    return DerivedSource(source, split_qkv(source, leaves))


def emotion_llama_processor(
    config: EmotionLlamaConfig, llama: Path, hubert: Path, layout: Layout
) -> EmotionLlamaProcessor:
    """The processor that lays text and media out as the configuration says.

    Raises:
        WeightsError: the folder of the language model holds no tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(llama, local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{llama}: holds no readable tokenizer ({str(error).splitlines()[0]})"
        ) from error
    tokenizer.pad_token = tokenizer.eos_token  # the released "$$" is a word of the vocabulary
    if (hubert / "preprocessor_config.json").is_file():
        extractor = Wav2Vec2FeatureExtractor.from_pretrained(hubert)
    else:
        extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    vision: Any = config.vision_config
    face: Any = config.face_config
    patches = (vision.image_size // vision.patch_size) ** 2
    return EmotionLlamaProcessor(
        EmotionLlamaImageProcessor(size=vision.image_size, face_size=face.image_size),
        extractor,
        tokenizer,
        layout=layout,
        frame=config.frame,
        patch_tokens=patches // config.patch_group,
        class_token=config.class_token,
        media_token_id=config.media_token_id,
    )


def released_counts(report: KeyReport) -> tuple[int, int]:
    """How many adapter tensors and how many projection tensors a report took."""
    keys = [key.key for key in report.taken]
    return tuple(  # type: ignore[return-value]
        sum(any(rule.matches(key) for rule in rules) for key in keys)
        for rules in (LORA_RULES, PROJECTION_RULES)
    )


def released_names(names: list[str]) -> dict[str, str]:
    """Our names of adapters and projections -> the released ones (as peft 0.2 wrote them)."""
    backwards = [rule.reversed() for rule in (LORA_RULES[0], *PROJECTION_RULES)]
    found = {}
    for name in names:
        theirs = next((rule.rename(name) for rule in backwards if rule.matches(name)), None)
        if theirs is not None:
            found[name] = theirs
    return found


def write_released(model: Path, out: Path) -> int:
    """Write adapters and projections of a built model as a released checkpoint; returns how many.

    The file is what the released code's `ckpt` key takes: {"model": tensors}.

    Raises:
        UsageError: `out` exists.
        WeightsError: the folder holds no Emotion-LLaMA.
    """
    if out.exists():
        raise UsageError(f"{out}: exists already; choose another name or remove it first")
    source = open_folder(model)
    names = released_names(source.keys())
    missing = [
        theirs for theirs in PROJECTION_RULES if not any(map(theirs.matches, names.values()))
    ]
    if missing or not any("lora_A" in name for name in names):
        raise WeightsError(f"{model}: holds no whole Emotion-LLaMA of the released layout")
    tensors = {theirs: source.read(ours).contiguous() for ours, theirs in names.items()}
    temporary = out.with_name(f".{out.name}.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({RELEASED_ENTRY: tensors}, temporary)
    temporary.replace(out)
    return len(tensors)
