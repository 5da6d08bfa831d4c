"""The Emotion-LLaMA model (arXiv 2406.11161): one frame, faces, motion and voice before the words.

Batch-first inputs, so that beams and batches may index every tensor by sample:

- pixel_values (B, 3, H, W) and frame_mask (B,): one frame, where there is one;
- face_pixel_values (B, T, 3, h, w), face_signals (B, T, S) and face_mask (B, T): faces of one
  person in order of time, where they were found;
- input_values (B, C, S) of samples at 16 kHz, or input_features (B, C, bins, frames) mels, with
  audio_lengths (B, C), 0 for none, and the whole voice's audio_signals (B, S).

Features may stand in for what towers say: `frame_features` (B, 1 + N, D), class token first;
`face_features` (B, D) and `motion_features` (B, M) with `person_mask` (B,); `audio_features`
(B, layers, D) with `audio_mask` (B,) and audio_signals. `encode_frame`, `encode_faces`,
`encode_motion` and `encode_voice` return them.

Media tokens stand in this order, those of a missing stream left out: the frame's patches, face,
motion, voice, the frame's class token.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    PreTrainedModel,
    ViTMAEConfig,
    WhisperConfig,
)
from transformers import initialization as init
from transformers.generation import GenerationMixin
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from openaffect.models.emotion_llama.configuration import EmotionLlamaConfig
from openaffect.models.emotion_llama.projectors import (
    DYNAMICS,
    TokenProjector,
    VoiceProjector,
    face_dynamics,
    join_patches,
    segment_frames,
)
from openaffect.models.encoders.eva_vit import EvaVitConfig
from openaffect.models.encoders.whisper_cropped import encode_cropped
from openaffect.models.generation import (
    MediaGeneration,
    MediaModel,
    fill_placeholders,
    spread,
)
from openaffect.models.lora import LoraLinear, LoraSettings, add_lora
from openaffect.models.omni_emotion.projectors import FeatureNorm

MEDIA_INPUTS = (
    "pixel_values",
    "frame_features",
    "frame_mask",
    "face_pixel_values",
    "face_signals",
    "face_mask",
    "face_features",
    "motion_features",
    "person_mask",
    "input_values",
    "input_features",
    "audio_lengths",
    "audio_signals",
    "audio_features",
    "audio_mask",
)


class EmotionLlamaPreTrainedModel(PreTrainedModel):
    """What the whole family shares with transformers: names, attention backends, initial values."""

    config_class = EmotionLlamaConfig
    base_model_prefix = "model"
    input_modalities = ("video", "audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _skip_keys_device_placement = ["cache"]
    # What is trained stays in single precision, as released.
    _keep_in_fp32_modules_strict = {
        "lora_A",
        "lora_B",
        "vision_projector",
        "class_projector",
        "face_projector",
        "motion_projector",
        "audio_projector",
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, FeatureNorm):
            init.zeros_(module.shift)
            init.ones_(module.scale)
        elif isinstance(module, VoiceProjector) and module.mix is not None:
            init.zeros_(module.mix)

    def init_weights(self) -> None:
        """As always, and then new adapters that change nothing; the text model knows none."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, LoraLinear):
                init.kaiming_uniform_(module.lora_A.weight, a=5**0.5)
                init.zeros_(module.lora_B.weight)


def _audio_tower(config: Any) -> PreTrainedModel:
    if isinstance(config, WhisperConfig):
        return WhisperEncoder(config)
    return AutoModel.from_config(config)


class EmotionLlamaModel(MediaModel, EmotionLlamaPreTrainedModel):
    """Towers, projectors and the adapted decoder without its head."""

    media_inputs = MEDIA_INPUTS
    feature_fields = (
        "frame",
        "has_motion_tower",
        "motion_frames",
        "motion_norm",
        "audio_layers",
        "audio_crop",
    )

    def __init__(self, config: EmotionLlamaConfig) -> None:
        super().__init__(config)
        size, normal = config.text_config.hidden_size, config.normalise_features
        width = config.vision_config.hidden_size
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.vision_projector = TokenProjector(config.patch_group * width, size)
        self.class_projector = TokenProjector(width, size) if config.class_token else None
        self.face_tower = AutoModel.from_config(config.face_config)
        face_size = config.face_config.hidden_size
        self.face_projector = TokenProjector(face_size, size, normal)
        motion_size = DYNAMICS * face_size
        if config.has_motion_tower:
            self.motion_tower = AutoModel.from_config(config.motion_config)
            motion_size = config.motion_config.hidden_size
        self.motion_projector = TokenProjector(motion_size, size, normal)
        self.audio_tower = _audio_tower(config.audio_config)
        self.audio_projector = VoiceProjector(
            config.audio_config.hidden_size,
            size,
            len(config.audio_layers or [-1]),
            config.audio_signal_size,
            normal,
        )
        self.language_model = AutoModel.from_config(config.text_config)
        if settings := lora_settings(config):
            add_lora(self.language_model, settings)
        self.post_init()

    @property
    def towers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The frozen encoders of this configuration."""
        names = ("vision_tower", "face_tower", "motion_tower", "audio_tower")
        return tuple(name for name in names if hasattr(self, name))

    def encode_frame(self, pixel_values: Tensor) -> Tensor:
        """Vision tower: frames (n, 3, H, W) -> (n, 1 + N, D), the class token first.

        A tower without a class token gives its mean over all places as one.
        """
        output = self.vision_tower(pixel_values.to(self.vision_tower.dtype))
        if isinstance(self.config.vision_config, EvaVitConfig):
            return output.last_hidden_state
        return torch.cat([output.pooler_output[:, None], output.last_hidden_state], 1)

    def encode_faces(self, pixel_values: Tensor, signals: Tensor | None = None) -> Tensor:
        """Face tower: faces (n, 3, h, w), measured signals (n, S) -> (n, D), one vector a face."""
        pixel_values = pixel_values.to(self.face_tower.dtype)
        config = self.config.face_config
        extra: dict[str, Tensor] = {}
        if isinstance(config, ViTMAEConfig):  # patches in their own order, none masked
            patches = (config.image_size // config.patch_size) ** 2
            order = torch.arange(patches, device=pixel_values.device)
            extra["noise"] = order.expand(len(pixel_values), -1)
        elif signals is not None:
            extra["signals"] = signals.to(self.face_tower.dtype)
        return self.face_tower(pixel_values, **extra).last_hidden_state[:, 0]

    def encode_motion(self, pixel_values: Tensor, faces: Tensor) -> Tensor:
        """Motion of one person: faces (n, 3, h, w) and their features (n, D) -> (M,)."""
        if not self.config.has_motion_tower:
            return face_dynamics(faces)
        chosen = segment_frames(len(pixel_values), self.config.motion_frames)
        clip = pixel_values[chosen.to(pixel_values.device)][None].to(self.motion_tower.dtype)
        mean = self.motion_tower(clip).last_hidden_state[0].mean(0)
        if not self.config.motion_norm:
            return mean
        eps = self.config.motion_config.layer_norm_eps
        return nn.functional.layer_norm(mean, mean.shape, eps=eps)

    def encode_person(
        self, pixel_values: Tensor, signals: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One person's faces in order of time -> mean face features (D,) and motion (M,)."""
        faces = self.encode_faces(pixel_values, signals)
        return faces.mean(0), self.encode_motion(pixel_values, faces)

    def encode_one(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """`encode_person` of the one sample whose faces a processor laid out: (1, 1, T, ...)."""
        there = inputs["face_mask"][0, 0]
        signals = inputs.get("face_signals")
        return self.encode_person(
            inputs["face_pixel_values"][0, 0][there].to(self.device),
            None if signals is None else signals[0, 0][there].to(self.device),
        )

    def encode_one_voice(self, inputs: dict[str, Tensor]) -> Tensor:
        """`encode_voice` of the one sample whose voice a processor laid out."""
        media = inputs["input_values"] if "input_values" in inputs else inputs["input_features"]
        lengths = inputs["audio_lengths"][0].tolist()
        return self.encode_voice(
            [
                chunk[..., :length].to(self.device)
                for chunk, length in zip(media[0], lengths, strict=True)
                if length
            ]
        )

    def encode_voice(self, chunks: list[Tensor]) -> Tensor:
        """Audio tower: chunks of one voice, samples (S,) or mels (bins, frames) -> (layers, D).

        The mean over time of all chunks together.
        """
        layers = self.config.audio_layers or [-1]
        sums: Tensor | None = None
        length = 0
        for chunk in chunks:
            chunk = chunk[None].to(self.audio_tower.dtype)
            if isinstance(self.config.audio_config, WhisperConfig):
                states = encode_cropped(self.audio_tower, chunk)
            else:
                states = self.audio_tower(chunk, output_hidden_states=True).hidden_states
            told = torch.stack([states[layer][0].sum(0) for layer in layers])
            sums = told if sums is None else sums + told
            length += states[-1].shape[1]
        assert sums is not None
        return sums / length

    def frame_tokens(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, 1 + N, D) -> patch tokens (n, N / group, D') and class tokens (n, k, D')."""
        patches = self.vision_projector(join_patches(features[:, 1:], self.config.patch_group))
        if self.class_projector is None:
            return patches, patches[:, :0]
        return patches, self.class_projector(features[:, :1])

    def embed(self, input_ids: Tensor, **media: Tensor | None) -> Tensor:
        """Text embeddings (B, L, D) with every placeholder filled by its media token."""
        token_id = self.config.media_token_id
        # A placeholder may lie beyond the text model's own vocabulary.
        words = input_ids.masked_fill(input_ids == token_id, 0)
        embeds = self.get_input_embeddings()(words)
        given = {name: tensor for name, tensor in media.items() if tensor is not None}
        frames, people = self._frames(given), self.person_tokens(given)
        voices = self.voice_tokens(given)
        rows = []
        for sample in range(len(input_ids)):
            patches, told = frames.get(sample, (None, None))
            parts = (patches, people.get(sample), voices.get(sample), told)
            rows += [part.to(embeds.dtype) for part in parts if part is not None]
        return fill_placeholders(embeds, input_ids, token_id, torch.cat(rows)) if rows else embeds

    def encode_media(self, media: dict[str, Tensor]) -> dict[str, Tensor]:
        """The media inputs with features in place of pixels, signals, samples and mels.

        `embed` makes the same tokens of both.
        """
        told: dict[str, Tensor] = {}
        if frames := self._frame_features(media):
            mask, features = frames
            told |= {"frame_features": spread(features, mask), "frame_mask": mask}
        if people := self._person_features(media):
            mask, faces, motions = people
            told |= {"face_features": spread(faces, mask), "motion_features": spread(motions, mask)}
            told["person_mask"] = mask
        if voices := self._voice_features(media):
            mask, features = voices
            told |= {"audio_features": spread(features, mask), "audio_mask": mask}
            if "audio_signals" in media:
                told["audio_signals"] = media["audio_signals"]
        return told

    def _frame_features(self, given: dict[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Which samples have a frame (B,), and what the tower says of these (n, 1 + N, D)."""
        mask = given.get("frame_mask")
        if mask is None or not mask.any():
            return None
        if "frame_features" in given:
            return mask, given["frame_features"][mask]
        return mask, self.encode_frame(given["pixel_values"][mask])

    def _person_features(self, given: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor] | None:
        """Which samples show a face (B,), and face features (n, D) and motion (n, M) of these."""
        mask = given.get("person_mask")
        if mask is not None and mask.any():
            return mask, given["face_features"][mask], given["motion_features"][mask]
        found = given.get("face_mask")
        if found is None or not found.any():
            return None
        mask = found.any(1)
        pixels, signals = given["face_pixel_values"], given.get("face_signals")
        people = [
            self.encode_person(
                pixels[sample][found[sample]],
                None if signals is None else signals[sample][found[sample]],
            )
            for sample in _places(mask)
        ]
        faces, motions = (torch.stack(parts) for parts in zip(*people, strict=True))
        return mask, faces, motions

    def _voice_features(self, given: dict[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Which samples have a voice (B,), and what the tower says of these (n, layers, D)."""
        mask = given.get("audio_mask")
        if mask is not None and mask.any():
            return mask, given["audio_features"][mask]
        lengths = given.get("audio_lengths")
        if lengths is None or not lengths.any():
            return None
        mask = lengths.any(1)
        chunks = given["input_values"] if "input_values" in given else given["input_features"]
        cut = [
            [chunk[..., : int(n)] for chunk, n in zip(chunks[s], lengths[s], strict=True) if n]
            for s in _places(mask)
        ]
        return mask, torch.stack([self.encode_voice(pieces) for pieces in cut])

    def _frames(self, given: dict[str, Tensor]) -> dict[int, tuple[Tensor, Tensor]]:
        """Patch tokens (N, D) and class tokens (0 or 1, D) of each sample that has a frame."""
        found = self._frame_features(given)
        if found is None:
            return {}
        mask, features = found
        return dict(zip(_places(mask), zip(*self.frame_tokens(features), strict=True), strict=True))

    def person_tokens(self, given: dict[str, Tensor]) -> dict[int, Tensor]:
        """Face token and motion token (2, D) of each sample that shows a face."""
        found = self._person_features(given)
        if found is None:
            return {}
        mask, faces, motions = found
        tokens = torch.stack([self.face_projector(faces), self.motion_projector(motions)], 1)
        return dict(zip(_places(mask), tokens, strict=True))

    def voice_tokens(self, given: dict[str, Tensor]) -> dict[int, Tensor]:
        """Voice token (1, D) of each sample that has a voice."""
        found = self._voice_features(given)
        if found is None:
            return {}
        mask, features = found
        signals = given.get("audio_signals")
        tokens = self.audio_projector(features, None if signals is None else signals[mask])
        return dict(zip(_places(mask), tokens[:, None], strict=True))


def _places(mask: Tensor) -> list[int]:
    """The samples of which mask (B,) is true."""
    return mask.nonzero()[:, 0].tolist()


def lora_settings(config: EmotionLlamaConfig) -> LoraSettings | None:
    """The adapters that the configuration asks for; None for none."""
    if not config.lora_r:
        return None
    targets = tuple(config.lora_targets or ())
    return LoraSettings(config.lora_r, config.lora_alpha, config.lora_dropout, targets)


class EmotionLlamaForConditionalGeneration(
    MediaGeneration, EmotionLlamaPreTrainedModel, GenerationMixin
):
    """Emotion-LLaMA with its language modeling head; `generate` takes the processor's output.

    Media have the shapes at the top of this module.
    """

    media_inputs = MEDIA_INPUTS
    model_class = EmotionLlamaModel
