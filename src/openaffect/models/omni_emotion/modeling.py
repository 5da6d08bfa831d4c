"""The Omni-Emotion model (arXiv 2501.09502): three towers, three projectors, fusion, one decoder.

Batch-first, padded inputs, so that beams, batches and samplers may index every tensor by sample:

- pixel_values_videos (B, T, 3, H, W) and video_mask (B, T): which frames are there;
- face_pixel_values (B, P, T, 3, h, w), face_signals (B, P, T, S) and face_mask (B, P, T): the face
  of person p in frame t, where it was found;
- input_features (B, C, bins, frames), audio_lengths (B, C) mel frames of each chunk, 0 for none,
  and audio_signals (B, C, S).

A modality that is missing has an all-false mask and no placeholder in the text. Frozen towers can
be run once: `video_features`, `face_features` and `audio_features` take what `encode_video`,
`encode_faces` and `encode_audio` returned, in place of pixels and mels.
"""

import math

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, WhisperConfig
from transformers import initialization as init
from transformers.generation import GenerationMixin
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from openaffect.models.encoders.whisper_cropped import encode_cropped
from openaffect.models.fusion import CrossAttention, PersonTokens, frame_concat, video_concat
from openaffect.models.generation import (
    MediaGeneration,
    MediaModel,
    fill_placeholders,
    spread,
)
from openaffect.models.omni_emotion.configuration import OmniEmotionConfig
from openaffect.models.omni_emotion.projectors import (
    AudioProjector,
    FaceProjector,
    FeatureNorm,
    Projector,
    audio_tokens,
    mix_streams,
    pool_audio,
    pool_faces,
    pool_video,
)

MEDIA_INPUTS = (
    "pixel_values_videos",
    "video_features",
    "video_mask",
    "face_pixel_values",
    "face_signals",
    "face_features",
    "face_mask",
    "input_features",
    "audio_features",
    "audio_lengths",
    "audio_signals",
)


class OmniEmotionPreTrainedModel(PreTrainedModel):
    """What the whole family shares with transformers: names, attention backends, initial values."""

    config_class = OmniEmotionConfig
    base_model_prefix = "model"
    input_modalities = ("video", "audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _skip_keys_device_placement = ["cache"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, OmniEmotionModel):
            deviation = 1 / math.sqrt(self.config.text_config.hidden_size)
            init.normal_(module.image_newline, mean=0.0, std=deviation)
            init.normal_(module.face_newline, mean=0.0, std=deviation)
        elif isinstance(module, FeatureNorm):
            init.zeros_(module.shift)
            init.ones_(module.scale)
        elif isinstance(module, AudioProjector) and module.mix is not None:
            init.zeros_(module.mix)


def _audio_tower(config: OmniEmotionConfig) -> PreTrainedModel:
    if isinstance(config.audio_config, WhisperConfig):
        return WhisperEncoder(config.audio_config)
    return AutoModel.from_config(config.audio_config)


class OmniEmotionModel(MediaModel, OmniEmotionPreTrainedModel):
    """Towers, projectors, fusion and the decoder without its head."""

    media_inputs = MEDIA_INPUTS
    towers = ("vision_tower", "audio_tower", "face_tower")
    feature_fields = (
        "vision_feature_layer",
        "vision_feature_select_strategy",
        "audio_layers",
        "audio_pool_stride",
        "audio_summary",
        "audio_crop",
        "audio_signal_size",
        "face_grid",
    )

    def __init__(self, config: OmniEmotionConfig) -> None:
        super().__init__(config)
        size = config.text_config.hidden_size
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.vision_projector = Projector(config.vision_config.hidden_size, config)
        self.image_newline = nn.Parameter(torch.randn(size) / math.sqrt(size))
        self.audio_tower = _audio_tower(config)
        self.audio_projector = AudioProjector(config.audio_config.hidden_size, config)
        self.face_tower = AutoModel.from_config(config.face_config)
        self.face_projector = FaceProjector(config.face_config.hidden_size, config)
        self.face_newline = nn.Parameter(torch.randn(size) / math.sqrt(size))
        if config.fusion == "cross_attention":
            self.cross_attention = CrossAttention(
                size,
                config.cross_attention_heads,
                config.cross_attention_layers,
                config.cross_attention_keep_video,
            )
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def encode_video(self, pixel_values: Tensor) -> Tensor:
        """Vision tower: frames (T, 3, H, W) -> (T, N, D_v), before the projector."""
        layer = self.config.vision_feature_layer
        pixel_values = pixel_values.to(self.vision_tower.dtype)
        output = self.vision_tower(pixel_values, output_hidden_states=layer is not None)
        features = output.last_hidden_state if layer is None else output.hidden_states[layer]
        if self.config.vision_feature_select_strategy == "default":
            features = features[:, 1:]
        return features

    def encode_faces(self, pixel_values: Tensor, signals: Tensor | None = None) -> Tensor:
        """Face tower: faces (N, 3, h, w), measured signals (N, S) -> (N, N_f, D_f), pooled."""
        pixel_values = pixel_values.to(self.face_tower.dtype)
        extra = {} if signals is None else {"signals": signals.to(self.face_tower.dtype)}
        output = self.face_tower(pixel_values, **extra)
        return pool_faces(output.last_hidden_state, self.config.face_grid)

    def encode_audio(self, mel: Tensor) -> Tensor:
        """Audio tower: equally long chunks (n, bins, frames) -> (n, rows, layers, D_a), pooled."""
        states = encode_cropped(self.audio_tower, mel)
        layers = self.config.audio_layers or [-1]
        stacked = torch.stack([states[layer] for layer in layers], dim=2)
        pool = (self.config.audio_pool_stride, self.config.audio_summary > 0)
        return torch.stack([pool_audio(chunk, *pool) for chunk in stacked])

    def encode_media(self, media: dict[str, Tensor]) -> dict[str, Tensor]:
        """The media inputs with features in place of pixels, signals and mels.

        `embed` makes the same tokens of both.
        """
        told = dict(media)
        if "pixel_values_videos" in told:
            pixels, mask = told.pop("pixel_values_videos"), told["video_mask"]
            told["video_features"] = spread(self.encode_video(pixels[mask]), mask)
        if "face_pixel_values" in told:
            pixels, mask = told.pop("face_pixel_values"), told["face_mask"]
            signals = told.pop("face_signals", None)
            found = self.encode_faces(pixels[mask], None if signals is None else signals[mask])
            told["face_features"] = spread(found, mask)
        if "input_features" in told:
            lengths = told["audio_lengths"]
            rows = self._encode_chunks(told.pop("input_features"), lengths)
            longest = max(rows.values(), key=len)
            audio = longest.new_zeros(*lengths.shape, *longest.shape)
            for chunk, states in rows.items():
                audio[chunk][: len(states)] = states
            told["audio_features"] = audio
        return told

    def _encode_chunks(
        self, input_features: Tensor, lengths: Tensor
    ) -> dict[tuple[int, ...], Tensor]:
        """(sample, chunk) -> (rows, layers, D_a); chunks of one length are encoded together.

        A chunk's result does not depend on the others.
        """
        rows: dict[tuple[int, ...], Tensor] = {}
        for length in lengths[lengths > 0].unique().tolist():
            alike = [tuple(chunk) for chunk in (lengths == length).nonzero().tolist()]
            mel = torch.stack([input_features[chunk][:, :length] for chunk in alike])
            rows |= dict(zip(alike, self.encode_audio(mel.to(self.audio_tower.dtype)), strict=True))
        return rows

    def video_tokens(
        self, pixel_values_videos: Tensor | None, video_features: Tensor | None, mask: Tensor
    ) -> list[Tensor | None]:
        """Projected and pooled frames of each sample: (T, N_v, D), None where it has no frames."""
        if video_features is not None:
            features = video_features[mask]
        else:
            assert pixel_values_videos is not None
            features = self.encode_video(pixel_values_videos[mask])
        tokens = pool_video(self.vision_projector(features), self.config.vision_pool_stride)
        counts = mask.sum(1).tolist()
        return [part if len(part) else None for part in tokens.split(counts)]

    def face_tokens(
        self,
        face_pixel_values: Tensor | None,
        face_signals: Tensor | None,
        face_features: Tensor | None,
        mask: Tensor,
    ) -> list[list[PersonTokens]]:
        """Projected faces of each sample's people, those without any face left out.

        Summary tokens stand before a person's faces, in the frame of the first.
        """
        if face_features is not None:
            features = face_features[mask]
        else:
            assert face_pixel_values is not None
            signals = None if face_signals is None else face_signals[mask]
            features = self.encode_faces(face_pixel_values[mask], signals)
        tokens = self.face_projector(features)
        samples: list[list[PersonTokens]] = [[] for _ in mask]
        frame = mask.nonzero(as_tuple=True)[2]
        counts = mask.sum(2)  # (B, P) faces of each person
        faces = counts[counts > 0].tolist()
        told = self.face_projector.whole(features.split(faces))
        people = [
            PersonTokens(*both)
            for both in zip(frame.split(faces), tokens.split(faces), strict=True)
        ]
        for place, person in enumerate(people):
            if told:
                first = person.frames[:1].expand(len(told[place]))
                person = PersonTokens(
                    torch.cat([first, person.frames]),
                    torch.cat([told[place][:, None], person.tokens]),
                )
            people[place] = person
        if self.training and self.config.stream_mixing:
            mixed = mix_streams(
                [p.tokens for p in people], len(told[0]) if told else 0, self.config.stream_mixing
            )
            people = [
                PersonTokens(p.frames, tokens) for p, tokens in zip(people, mixed, strict=True)
            ]
        for person, sample in zip(people, counts.nonzero()[:, 0].tolist(), strict=True):
            samples[sample].append(person)
        return samples

    def voice_tokens(
        self,
        input_features: Tensor | None,
        audio_features: Tensor | None,
        lengths: Tensor,
        signals: Tensor | None,
    ) -> list[Tensor]:
        """Projected voice of each chunk of all samples, in order: (tokens, D)."""
        chunks = [tuple(chunk) for chunk in lengths.nonzero().tolist()]
        rows: dict[tuple[int, ...], Tensor] = {}
        if audio_features is None:
            assert input_features is not None
            rows = self._encode_chunks(input_features, lengths)
        else:
            first = 2 if self.config.audio_summary else 0  # rows of mean and deviation
            for chunk in chunks:
                windows = audio_tokens(int(lengths[chunk]), self.config.audio_pool_stride, 0)
                rows[chunk] = audio_features[chunk][: first + windows]
        measured = None if signals is None else torch.stack([signals[chunk] for chunk in chunks])
        voices = self.audio_projector([rows[chunk] for chunk in chunks], measured)
        if self.training and self.config.stream_mixing:
            return mix_streams(voices, self.config.audio_summary, self.config.stream_mixing)
        return voices

    def fuse(self, video: Tensor | None, people: list[PersonTokens]) -> Tensor:
        """One sample's frames and faces as one sequence (L, D), by the configured fusion."""
        if self.config.fusion == "frame_concat":
            return frame_concat(video, people, self.image_newline)
        if self.config.fusion == "cross_attention":
            return self.cross_attention(video, people, self.image_newline, self.face_newline)
        return video_concat(video, people, self.image_newline, self.face_newline)

    def embed(
        self,
        input_ids: Tensor,
        pixel_values_videos: Tensor | None = None,
        video_features: Tensor | None = None,
        video_mask: Tensor | None = None,
        face_pixel_values: Tensor | None = None,
        face_signals: Tensor | None = None,
        face_features: Tensor | None = None,
        face_mask: Tensor | None = None,
        input_features: Tensor | None = None,
        audio_features: Tensor | None = None,
        audio_lengths: Tensor | None = None,
        audio_signals: Tensor | None = None,
    ) -> Tensor:
        """Text embeddings (B, L, D) with every placeholder filled by its media token."""
        placeholders = input_ids == self.config.video_token_id
        placeholders |= input_ids == self.config.audio_token_id
        # Placeholders may lie beyond the text model's own vocabulary.
        embeds = self.get_input_embeddings()(input_ids.masked_fill(placeholders, 0))
        if pixel_values_videos is not None and video_mask is None:
            shape = pixel_values_videos.shape[:2]
            video_mask = torch.ones(shape, dtype=torch.bool, device=pixel_values_videos.device)
        video: list[Tensor | None] = [None] * len(input_ids)
        people: list[list[PersonTokens]] = [[] for _ in input_ids]
        if video_mask is not None and video_mask.any():
            video = self.video_tokens(pixel_values_videos, video_features, video_mask)
        if face_mask is not None and face_mask.any():
            people = self.face_tokens(face_pixel_values, face_signals, face_features, face_mask)
        fused = [
            self.fuse(frames, faces)
            for frames, faces in zip(video, people, strict=True)
            if frames is not None or faces
        ]
        if fused:
            token_id = self.config.video_token_id
            embeds = fill_placeholders(embeds, input_ids, token_id, torch.cat(fused))
        if audio_lengths is not None and audio_lengths.any():
            voice = self.voice_tokens(input_features, audio_features, audio_lengths, audio_signals)
            token_id = self.config.audio_token_id
            embeds = fill_placeholders(embeds, input_ids, token_id, torch.cat(voice))
        return embeds


class OmniEmotionForConditionalGeneration(
    MediaGeneration, OmniEmotionPreTrainedModel, GenerationMixin
):
    """Omni-Emotion with its language modeling head; `generate` takes the processor's output.

    Media have the shapes at the top of this module.
    """

    media_inputs = MEDIA_INPUTS
    model_class = OmniEmotionModel
