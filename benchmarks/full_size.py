"""Time and memory of the full-size model with random weights, on one accelerator.

    python benchmarks/full_size.py --size 7b --device cuda --out full_size.json
    python benchmarks/full_size.py --size tiny --device cpu

One clip: 16 frames, 10 s of voice, one person's face in every frame. The model is made directly on
the device in its number type, from a seed; no weights are read. Printed as JSON: for each step its
seconds (the best of `--repeats`) and the peak memory in GB (10^9 bytes; resident memory of the
process on a CPU).

- `forward`: towers, projectors, fusion and decoder over the whole prompt, logits of its last token;
- `generate`: the same prompt and 128 new tokens, greedy; `decode_tokens_per_second` leaves the
  prompt's forward pass out;
- `stage1`: one optimiser step of the audio projector alone, voice and text;
- `stage3`: one optimiser step of LoRA on the decoder and of the projectors, all modalities.

Both training steps use gradient checkpointing, and training's own loss, whose logits are those of
the answer's 64 tokens.

`prefill_mfu` = floating point operations of `forward` / (its seconds x the device's dense bf16
peak). Operations: 2 x inputs x outputs for every position a linear or convolution layer is applied
to, and 4 x queries x keys x width for every attention (scores and mixing, counted whole although
the decoder's are causal, as in Chowdhery et al. 2022, PaLM, appendix B). Norms, activations and
interpolation count nothing.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from openaffect.models.fusion import fused_length
from openaffect.models.lora import LoraSettings, add_lora
from openaffect.models.omni_emotion import OmniEmotionConfig, OmniEmotionForConditionalGeneration
from openaffect.models.omni_emotion.full_size import omni_emotion_7b_config
from openaffect.models.omni_emotion.projectors import audio_tokens
from openaffect.models.omni_emotion.tiny import tiny_config
from openaffect.training.trainer import answer_loss

FRAMES = 16
VOICE_SECONDS = 10
MEL_FRAMES_PER_SECOND = 100
PADDED_MEL_FRAMES = 3000
TEXT_TOKENS = 128
ANSWER_TOKENS = 64  # the last of the text, on which the training steps take their loss
NEW_TOKENS = 128
LORA = LoraSettings(r=16, target_modules=("q_proj", "k_proj", "v_proj", "o_proj"))

# Dense bf16 tensor throughput in operations a second, from NVIDIA's data sheets (SXM parts).
PEAK_FLOPS = {"H200": 989.4e12, "H100": 989.4e12, "A100": 312e12, "L40S": 362e12, "A10": 125e12}

SIZES: dict[str, Callable[[], OmniEmotionConfig]] = {
    "7b": omni_emotion_7b_config,
    "tiny": tiny_config,
}


def make_model(
    config: OmniEmotionConfig, device: str, dtype: torch.dtype, seed: int = 0
) -> OmniEmotionForConditionalGeneration:
    """The model with random weights, made on the device in its number type: one copy, ever."""
    before = torch.get_default_dtype()
    torch.manual_seed(seed)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = OmniEmotionForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval()


def frame_tokens(config: OmniEmotionConfig) -> int:
    """Tokens of one frame after pooling."""
    vision: Any = config.vision_config
    side = vision.image_size // vision.patch_size
    return (-(-side // config.vision_pool_stride)) ** 2


def voice_mel_frames(config: OmniEmotionConfig) -> int:
    """Mel frames that the encoder sees of the clip's voice."""
    return VOICE_SECONDS * MEL_FRAMES_PER_SECOND if config.audio_crop else PADDED_MEL_FRAMES


def make_inputs(
    config: OmniEmotionConfig, device: str, dtype: torch.dtype, sight: bool = True, seed: int = 1
) -> dict[str, Tensor]:
    """A prompt with random words, pixels and mels, placeholders laid out as the processor does.

    `sight` false leaves frames and faces out.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    vision: Any = config.vision_config
    audio: Any = config.audio_config
    face: Any = config.face_config
    mel_frames = voice_mel_frames(config)
    voice = audio_tokens(mel_frames, config.audio_pool_stride, config.audio_summary)
    inputs = {
        "input_features": noise(1, 1, audio.num_mel_bins, mel_frames),
        "audio_lengths": torch.tensor([[mel_frames]], device=device),
    }
    stream = 0
    if sight:
        faces = config.face_grid**2 if config.face_grid else face.sequence_length
        stream = fused_length(config.fusion, FRAMES, frame_tokens(config), [FRAMES], faces)
        whole = torch.ones(1, FRAMES, dtype=torch.bool, device=device)
        inputs |= {
            "pixel_values_videos": noise(1, FRAMES, 3, vision.image_size, vision.image_size),
            "video_mask": whole,
            "face_pixel_values": noise(1, 1, FRAMES, 3, face.image_size, face.image_size),
            "face_mask": whole[:, None],
        }
    words = torch.randint(0, min(250, config.video_token_id), (TEXT_TOKENS,), generator=generator)
    ids = torch.cat(
        [
            torch.full((stream,), config.video_token_id),
            torch.full((voice,), config.audio_token_id),
            words,
        ]
    )
    inputs["input_ids"] = ids[None].to(device)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return inputs


def make_labels(inputs: dict[str, Tensor]) -> Tensor:
    """The last words as the answer to be learned, -100 before them."""
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, -ANSWER_TOKENS:] = inputs["input_ids"][:, -ANSWER_TOKENS:]
    return labels


def transformer_flops(tokens: int, width: int, inner: int, layers: int, matrices: int) -> int:
    """A plain transformer: 4 width^2 + matrices x width x inner for a token, and attention."""
    linear = 2 * tokens * (4 * width**2 + matrices * width * inner)
    return layers * (linear + 4 * tokens**2 * width)


def prefill_flops(config: OmniEmotionConfig, tokens: int) -> int:
    """Floating point operations of `forward` over a prompt of so many tokens."""
    text: Any = config.text_config
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    queries = head_size * text.num_attention_heads
    keys = head_size * text.num_key_value_heads
    size = text.hidden_size
    per_token = size * (2 * queries + 2 * keys) + 3 * size * text.intermediate_size
    decoder = 2 * tokens * per_token + 4 * tokens**2 * queries
    total = text.num_hidden_layers * decoder + 2 * size * text.vocab_size

    vision: Any = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    width = vision.hidden_size
    frame = 2 * patches * width * vision.num_channels * vision.patch_size**2
    frame += transformer_flops(
        patches, width, vision.intermediate_size, vision.num_hidden_layers, matrices=2
    )
    total += FRAMES * (frame + 2 * patches * (width + size) * size)

    audio: Any = config.audio_config
    mel_frames = voice_mel_frames(config)
    positions = mel_frames // 2
    width = audio.d_model
    total += 2 * 3 * width * (mel_frames * audio.num_mel_bins + positions * width)
    total += transformer_flops(
        positions, width, audio.encoder_ffn_dim, audio.encoder_layers, matrices=2
    )
    voice = audio_tokens(mel_frames, config.audio_pool_stride, summary=False)
    total += 2 * voice * (width + size) * size

    faces = config.face_grid**2 if config.face_grid else config.face_config.sequence_length
    face = face_flops(config) + 2 * faces * (config.face_config.hidden_size + size) * size
    return total + FRAMES * face


def face_flops(config: OmniEmotionConfig) -> int:
    """Operations of FaceXFormer's encoder for one face."""
    face: Any = config.face_config
    first = face.sequence_length
    total = 2 * first * face.embed_dim * face.num_channels * face.patch_size**2
    for stage, depth in enumerate(face.depths):
        positions, width = face.stage_grid(stage) ** 2, face.stage_width(stage)
        block = 2 * positions * (4 * width**2 + 2 * int(face.mlp_ratio * width) * width)
        block += 4 * positions * face.window_size**2 * width
        total += depth * block + 2 * positions * width * face.hidden_size
        if stage:  # the halving before this stage: from 4 neighbours of half the width
            total += 2 * positions * (2 * width) * width
    return total + 2 * first * len(face.depths) * face.hidden_size**2


def measure(device: str, repeats: int, work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of the best of `repeats` runs after one for warming up, and peak memory in GB."""
    on_gpu = device.startswith("cuda")
    seconds = []
    for _ in range(repeats + 1):
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    if on_gpu:
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": round(min(seconds[1:]), 5), "peak_memory_gb": round(peak / 1e9, 3)}


def train_step(
    model: OmniEmotionForConditionalGeneration, inputs: dict[str, Tensor], parts: list[Any]
) -> Callable[[], None]:
    """One optimiser step, and nothing else, in which only `parts` learn."""
    model.requires_grad_(False)
    for part in parts:
        part.float().requires_grad_(True)  # as training holds what it changes
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)
    batch = inputs | {"labels": make_labels(inputs)}
    model.train()

    def step() -> None:
        optimiser.zero_grad()
        loss = answer_loss(model, batch)[0].mean()
        loss.backward()
        if not loss.isfinite():
            raise FloatingPointError(f"the loss is {loss.item()}")
        if any(parameter.grad is None for parameter in trained):
            raise RuntimeError("a part that should learn got no gradient")
        optimiser.step()

    return step


def device_peak(name: str) -> float | None:
    """Dense bf16 peak of a device in operations a second, None where it is not listed."""
    return next((peak for part, peak in PEAK_FLOPS.items() if part in name), None)


def run(size: str, device: str, dtype: torch.dtype, repeats: int) -> dict[str, Any]:
    """All steps; see the head of this file."""
    config = SIZES[size]()
    on_gpu = device.startswith("cuda")
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    start = time.perf_counter()
    model = make_model(config, device, dtype)
    if on_gpu:
        torch.cuda.synchronize()
    inputs = make_inputs(config, device, dtype)
    tokens = inputs["input_ids"].shape[1]
    flops = prefill_flops(config, tokens)
    result: dict[str, Any] = {
        "device": name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "size": size,
        "dtype": str(dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "make_seconds": round(time.perf_counter() - start, 3),
        "prompt_tokens": tokens,
        "prefill_tflop": round(flops / 1e12, 6),
    }

    @torch.inference_mode()
    def forward() -> None:
        model(**inputs, logits_to_keep=1)

    result["forward"] = measure(device, repeats, forward)
    seconds = result["forward"]["seconds"]
    peak = device_peak(name)
    result["prefill_tokens_per_second"] = round(tokens / seconds, 1)
    result["prefill_mfu"] = None if peak is None else round(flops / (seconds * peak), 4)

    produced = []

    def generate() -> None:
        settings = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
        produced.append(model.generate(**inputs, **settings, pad_token_id=0).shape[1] - tokens)

    result["generate"] = measure(device, repeats, generate)
    if set(produced) != {NEW_TOKENS}:
        raise RuntimeError(f"generate gave {sorted(set(produced))} tokens, not {NEW_TOKENS}")
    whole = result["generate"]["seconds"]
    result["tokens_per_second"] = round(NEW_TOKENS / whole, 2)
    result["decode_tokens_per_second"] = round((NEW_TOKENS - 1) / (whole - seconds), 2)

    model.gradient_checkpointing_enable({"use_reentrant": False})
    inner = model.model
    voice = make_inputs(config, device, dtype, sight=False)
    result["stage1"] = measure(device, repeats, train_step(model, voice, [inner.audio_projector]))
    result["stage1"]["tokens"] = voice["input_ids"].shape[1]

    add_lora(inner.language_model, LORA)
    low_rank = [
        module
        for path, module in inner.language_model.named_modules()
        if path.endswith(("lora_A", "lora_B"))
    ]
    projectors = [inner.vision_projector, inner.audio_projector, inner.face_projector]
    step = train_step(model, inputs, [*low_rank, *projectors])
    result["stage3"] = measure(device, repeats, step)
    result["stage3"]["tokens"] = tokens
    result["stage3"]["trained_parameters"] = sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )
    return result


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="Time and memory of the full-size model.")
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each step")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    chosen = parser.parse_args(arguments)
    result = run(chosen.size, chosen.device, getattr(torch, chosen.dtype), chosen.repeats)
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return result


if __name__ == "__main__":
    main()
