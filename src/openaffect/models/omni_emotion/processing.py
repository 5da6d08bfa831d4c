"""From frames, faces, voice and text to the model's tensors.

Every placeholder in the text is expanded to the exact number of media tokens that the model will
put there. A modality that is absent has no placeholder: nothing is filled with zeros to pretend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from openaffect.errors import UsageError
from openaffect.media.mel import HOP_LENGTH, SAMPLE_RATE, log_mel
from openaffect.media.resize import resize
from openaffect.models.fusion import fused_length
from openaffect.models.omni_emotion.projectors import audio_tokens

CHUNK_SECONDS = 30  # Whisper's window; longer voices are cut into chunks of it
VIDEO_TOKEN = "<video>"
AUDIO_TOKEN = "<audio>"

# ChatML, media before text, an assistant's words marked for `return_assistant_tokens_mask`.
CHAT_TEMPLATE = """{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\n' -}}
{%- if message['content'] is string -%}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}
{%- else -%}{{- message['content'] + '<|im_end|>\n' -}}{%- endif -%}
{%- else -%}
{%- for part in message['content'] if part['type'] == 'video' -%}{{- '<video>\n' -}}{%- endfor -%}
{%- for part in message['content'] if part['type'] == 'audio' -%}{{- '<audio>\n' -}}{%- endfor -%}
{%- for part in message['content'] if part['type'] == 'text' -%}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- part['text'] -}}{%- endgeneration -%}
{%- else -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}
{%- else -%}{{- '<|im_end|>\n' -}}{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""


@dataclass(frozen=True)
class FaceInput:
    """One face of one tracked person as the processor takes it."""

    frame: int  # index among the sample's frames
    crop: NDArray[np.uint8]  # (h, w, 3) RGB, aligned
    signals: NDArray[np.float32] | None = None  # (S,) measured signals, where the model takes them


class OmniEmotionImageProcessor(BaseImageProcessor):
    """Frames and face crops to normalised tensors."""

    model_input_names = ["pixel_values_videos", "face_pixel_values"]

    def __init__(
        self,
        size: int = 384,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        face_size: int = 224,
        face_mean: Sequence[float] = (0.485, 0.456, 0.406),
        face_std: Sequence[float] = (0.229, 0.224, 0.225),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.face_size = face_size
        self.face_mean = list(face_mean)
        self.face_std = list(face_std)

    def frames(self, pixels: NDArray[np.uint8]) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, size, size), bicubic, aspect not kept as in training."""
        return _normalise(resize(pixels, self.size), self.image_mean, self.image_std)

    def faces(self, crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """N crops (h, w, 3) uint8 -> (N, 3, face_size, face_size)."""
        pixels = torch.cat([resize(crop[None], self.face_size) for crop in crops])
        return _normalise(pixels, self.face_mean, self.face_std)

    def preprocess(self, images: NDArray[np.uint8], **kwargs: Any) -> BatchFeature:
        """transformers' entry point: one clip's frames (T, H, W, 3)."""
        return BatchFeature({"pixel_values_videos": self.frames(np.asarray(images))[None]})


def _normalise(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    scale = torch.tensor(deviation).view(1, 3, 1, 1)
    return (pixels.float() / 255 - torch.tensor(mean).view(1, 3, 1, 1)) / scale


def voice_chunks(audio: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Successive chunks of at most 30 s; a rest shorter than one mel frame is left out."""
    step = CHUNK_SECONDS * SAMPLE_RATE
    chunks = [audio[start : start + step] for start in range(0, len(audio), step)]
    return [chunk for chunk in chunks if len(chunk) >= HOP_LENGTH]


class OmniEmotionProcessor(ProcessorMixin):
    """Text with `<video>` and `<audio>` placeholders, and the media for them.

    Args:
        fusion, cross_attention_keep_video, audio_pool_stride, audio_summary, audio_crop,
            face_summary: as in `OmniEmotionConfig`; they decide how many tokens a placeholder
            becomes.
        tokens_per_frame: tokens of one frame after pooling.
        tokens_per_face: tokens of one face after pooling.
        voice_signals: measured voice figures go with every chunk (`media.voice.voice_statistics`).
    """

    def __init__(
        self,
        image_processor: OmniEmotionImageProcessor | None = None,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        fusion: str = "video_concat",
        cross_attention_keep_video: bool = True,
        tokens_per_frame: int = 196,
        tokens_per_face: int = 196,
        audio_pool_stride: int = 3,
        audio_summary: int = 0,
        face_summary: int = 0,
        audio_crop: bool = False,
        voice_signals: bool = False,
        **kwargs: Any,
    ) -> None:
        self.fusion = fusion
        self.cross_attention_keep_video = cross_attention_keep_video
        self.tokens_per_frame = tokens_per_frame
        self.tokens_per_face = tokens_per_face
        self.audio_pool_stride = audio_pool_stride
        self.audio_summary = audio_summary
        self.face_summary = face_summary
        self.audio_crop = audio_crop
        self.voice_signals = voice_signals
        self.video_token = VIDEO_TOKEN
        self.audio_token = AUDIO_TOKEN
        super().__init__(
            image_processor,
            feature_extractor,
            tokenizer,
            chat_template=chat_template or CHAT_TEMPLATE,
        )

    def video_length(self, frames: int, faces: Sequence[int]) -> int:
        """Tokens of the fused stream for so many frames and so many faces of each person."""
        told = [count + self.face_summary if count else 0 for count in faces]
        return fused_length(
            self.fusion,
            frames,
            self.tokens_per_frame,
            told,
            self.tokens_per_face,
            self.cross_attention_keep_video,
        )

    def audio_length(self, chunk_frames: Sequence[int]) -> int:
        """Tokens of a voice whose chunks have so many mel frames."""
        return sum(
            audio_tokens(frames, self.audio_pool_stride, self.audio_summary)
            for frames in chunk_frames
        )

    def expand(self, text: str, video_length: int, audio_length: int) -> str:
        """Repeat each placeholder as often as its media has tokens.

        Raises:
            UsageError: a placeholder without media, or media without a placeholder.
        """
        text, _ = self._expand_with_offsets(text, video_length, audio_length)
        return text

    def _expand_with_offsets(
        self, text: str, video_length: int, audio_length: int
    ) -> tuple[str, Any]:
        for token, length in ((VIDEO_TOKEN, video_length), (AUDIO_TOKEN, audio_length)):
            if text.count(token) != (length > 0):
                raise UsageError(
                    f"the text has {text.count(token)} {token} placeholders and there "
                    f"{'is such a medium' if length else 'is no such medium'}; write one "
                    "placeholder for each medium that is given"
                )
        texts, offsets = self.get_text_with_replacements(
            [text],
            videos_replacements=[VIDEO_TOKEN * video_length],
            audio_replacements=[AUDIO_TOKEN * audio_length],
        )
        return texts[0], offsets[0]

    def __call__(  # type: ignore[override]
        self,
        text: str | Sequence[str],
        videos: Any = None,
        faces: Sequence[Sequence[Sequence[FaceInput]]] | None = None,
        audio: Any = None,
        images: None = None,
        return_tensors: str | None = "pt",
        padding_side: str = "left",
        return_text_replacement_offsets: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        """Tensors for `OmniEmotionForConditionalGeneration`, padded on the left.

        Args:
            text: one prompt, or one for each sample, with at most one placeholder of each kind.
            videos: for each sample frames (T, H, W, 3) uint8, the path of a clip, or None.
            faces: for each sample a list of people, each a list of FaceInput.
            audio: for each sample (S,) float32 mono at 16 kHz, or None.

        Raises:
            UsageError: placeholders and media do not agree, or images are given as such.
        """
        if images is not None:
            raise UsageError("images are taken as videos of one frame: pass them as videos=")
        texts = [text] if isinstance(text, str) else list(text)
        clips = [_frames(item) for item in _per_sample(videos, len(texts), "videos")]
        voices = [_voice(item) for item in _per_sample(audio, len(texts), "audio")]
        people = [list(item or []) for item in _per_sample(faces, len(texts), "faces", False)]
        data: dict[str, Any] = {}
        if any(clip is not None for clip in clips):
            data |= self._video_inputs(clips)
        if any(track for tracks in people for track in tracks):
            data |= self.face_inputs(people)
        lengths: list[list[int]] = [[] for _ in texts]
        if any(voice is not None for voice in voices):
            voice_inputs = self.audio_inputs(voices)
            lengths = [row[row > 0].tolist() for row in voice_inputs.get("audio_lengths", [])]
            data |= voice_inputs
        expanded, offsets = [], []
        for index, prompt in enumerate(texts):
            clip = clips[index]
            faces_found = [len(track) for track in people[index]]
            new, replaced = self._expand_with_offsets(
                prompt,
                self.video_length(0 if clip is None else len(clip), faces_found),
                self.audio_length(lengths[index]),
            )
            expanded.append(new)
            offsets.append(replaced)
        kept = {key: kwargs[key] for key in ("add_special_tokens",) if key in kwargs}
        kept |= {key: True for key in ("return_offsets_mapping",) if kwargs.get(key)}
        tokens = self.tokenizer(expanded, padding=True, padding_side=padding_side, **kept)
        data |= dict(tokens)
        if return_text_replacement_offsets or kwargs.get("return_offsets_mapping"):
            data["text_replacement_offsets"] = offsets
            return BatchFeature(data)
        return BatchFeature(data, tensor_type=return_tensors)

    def _video_inputs(self, clips: Sequence[NDArray[np.uint8] | None]) -> dict[str, Tensor]:
        longest = max(len(clip) for clip in clips if clip is not None)
        side = self.image_processor.size
        pixels = torch.zeros(len(clips), longest, 3, side, side)
        mask = torch.zeros(len(clips), longest, dtype=torch.bool)
        for index, clip in enumerate(clips):
            if clip is not None:
                pixels[index, : len(clip)] = self.image_processor.frames(clip)
                mask[index, : len(clip)] = True
        return {"pixel_values_videos": pixels, "video_mask": mask}

    def face_inputs(self, people: Sequence[Sequence[Sequence[FaceInput]]]) -> dict[str, Tensor]:
        """Crops and measured signals of each sample's people, by person and frame."""
        found = [
            (sample, person, face)
            for sample, tracks in enumerate(people)
            for person, track in enumerate(tracks)
            for face in track
        ]
        shape = (
            len(people),
            max(len(tracks) for tracks in people),
            max(face.frame for *_, face in found) + 1,
        )
        side = self.image_processor.face_size
        pixels = torch.zeros(*shape, 3, side, side)
        mask = torch.zeros(shape, dtype=torch.bool)
        where = tuple(torch.tensor([(s, p, face.frame) for s, p, face in found]).T)
        pixels[where] = self.image_processor.faces([face.crop for *_, face in found])
        mask[where] = True
        inputs = {"face_pixel_values": pixels, "face_mask": mask}
        if found[0][2].signals is not None:
            measured = torch.from_numpy(np.stack([np.asarray(face.signals) for *_, face in found]))
            signals = torch.zeros(*shape, measured.shape[1])
            signals[where] = measured.float()
            inputs["face_signals"] = signals
        return inputs

    def audio_inputs(self, voices: Sequence[NDArray[np.float32] | None]) -> dict[str, Tensor]:
        """Mels of each sample's chunks, their lengths, and the measured voice figures."""
        bins = self.feature_extractor.feature_size
        parts = [[] if voice is None else voice_chunks(voice) for voice in voices]
        pad = None if self.audio_crop else CHUNK_SECONDS
        mels = [[log_mel(part, bins, pad_to_seconds=pad) for part in sample] for sample in parts]
        chunks = max(1, *(len(sample) for sample in mels))
        longest = max((mel.shape[1] for sample in mels for mel in sample), default=1)
        features = torch.zeros(len(mels), chunks, bins, longest)
        lengths = torch.zeros(len(mels), chunks, dtype=torch.long)
        for index, sample in enumerate(mels):
            for chunk, mel in enumerate(sample):
                features[index, chunk, :, : mel.shape[1]] = mel
                lengths[index, chunk] = mel.shape[1]
        inputs = {"input_features": features, "audio_lengths": lengths}
        if self.voice_signals:
            from openaffect.media.voice import VOICE_STATISTICS, voice_statistics

            signals = torch.zeros(len(mels), chunks, len(VOICE_STATISTICS))
            for index, pieces in enumerate(parts):
                for chunk, part in enumerate(pieces):
                    signals[index, chunk] = torch.from_numpy(voice_statistics(part))
            inputs["audio_signals"] = signals
        return inputs

    @property
    def model_input_names(self) -> list[str]:
        """Every tensor that `__call__` may return."""
        return [
            "input_ids",
            "attention_mask",
            "pixel_values_videos",
            "video_mask",
            "face_pixel_values",
            "face_signals",
            "face_mask",
            "input_features",
            "audio_lengths",
            "audio_signals",
        ]


def _per_sample(media: Any, samples: int, name: str, unwrap: bool = True) -> list[Any]:
    """One entry for each sample from what the caller, or a chat template, passed.

    Raises:
        UsageError: their numbers differ.
    """
    if media is None:
        return [None] * samples
    if isinstance(media, str | Path | np.ndarray | Tensor):
        media = [media]
    media = list(media)
    if unwrap:
        media = [item[0] if isinstance(item, list | tuple) and item else item for item in media]
    if len(media) != samples:
        raise UsageError(f"{len(media)} {name} for {samples} texts; give one, or None, for each")
    return media


def _frames(video: Any) -> NDArray[np.uint8] | None:
    if isinstance(video, str | Path):
        from openaffect.media.reader import read_clip

        clip = read_clip(Path(video))
        return None if clip.frames is None else clip.frames.pixels
    if video is None or len(video) == 0:
        return None
    frames = np.asarray(video)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise UsageError(
            f"frames must be (T, H, W, 3) uint8, got {frames.shape} {frames.dtype}; "
            "read them with openaffect.media.read_clip"
        )
    return frames


def _voice(audio: Any) -> NDArray[np.float32] | None:
    if isinstance(audio, str | Path):
        from openaffect.media.reader import read_clip

        return read_clip(Path(audio)).audio
    if audio is None or len(audio) == 0:
        return None
    voice = np.asarray(audio, dtype=np.float32)
    if voice.ndim != 1:
        raise UsageError(f"audio must be (S,) mono at 16 kHz, got shape {voice.shape}")
    return voice
