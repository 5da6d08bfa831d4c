"""From frames, faces, voice and text to the model's tensors.

Every placeholder in the text is expanded to the exact number of media tokens that the model will
put there. A modality that is absent has no placeholder: nothing is filled with zeros to pretend.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchFeature

from openaffect.errors import UsageError
from openaffect.models.clip_processing import (
    ClipImageProcessor,
    ClipProcessor,
    FaceInput,
    Picture,
)
from openaffect.models.fusion import fused_length
from openaffect.models.omni_emotion.projectors import audio_tokens

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


class OmniEmotionImageProcessor(ClipImageProcessor):
    """Frames and face crops to normalised tensors."""

    def preprocess(self, images: NDArray[np.uint8], **kwargs: Any) -> BatchFeature:
        """transformers' entry point: one clip's frames (T, H, W, 3)."""
        return BatchFeature({"pixel_values_videos": self.frames(np.asarray(images))[None]})


class OmniEmotionProcessor(ClipProcessor):
    """Text with `<video>` and `<audio>` placeholders, and the media for them.

    Args:
        fusion, cross_attention_keep_video, audio_pool_stride, audio_summary, audio_crop,
            face_summary: as in `OmniEmotionConfig`; they decide how many tokens a placeholder
            becomes.
        tokens_per_frame: tokens of one frame after pooling.
        tokens_per_face: tokens of one face after pooling.
        voice_signals: measured voice figures go with every chunk (`media.voice.voice_statistics`).
    """

    media_input_names = (
        "pixel_values_videos",
        "video_mask",
        "face_pixel_values",
        "face_signals",
        "face_mask",
        "input_features",
        "audio_lengths",
        "audio_signals",
    )

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

    @property
    def settings(self) -> dict[str, Any]:
        return {"fusion": self.fusion}

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

    def lay_out(
        self,
        texts: Sequence[str],
        media: Mapping[str, Tensor],
        return_tensors: str | None = "pt",
        padding_side: str = "left",
        return_text_replacement_offsets: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        """As `ClipProcessor.lay_out`; a text has at most one placeholder of each kind.

        Raises:
            UsageError: placeholders and media do not agree.
        """
        data: dict[str, Any] = dict(media)
        expanded, offsets = [], []
        for index, prompt in enumerate(texts):
            frames = int(media["video_mask"][index].sum()) if "video_mask" in media else 0
            faces = media["face_mask"][index].sum(1).tolist() if "face_mask" in media else []
            chunks = media["audio_lengths"][index] if "audio_lengths" in media else torch.zeros(0)
            new, replaced = self._expand_with_offsets(
                prompt,
                self.video_length(frames, faces),
                self.audio_length(chunks[chunks > 0].tolist()),
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

    def frame_inputs(
        self, clips: Sequence[Picture | None], people: Sequence[Sequence[Sequence[FaceInput]]]
    ) -> dict[str, Tensor]:
        """All frames of each sample that has any."""
        longest = max(len(clip) for clip in clips if clip is not None)
        side = self.image_processor.size
        pixels = torch.zeros(len(clips), longest, 3, side, side)
        mask = torch.zeros(len(clips), longest, dtype=torch.bool)
        for index, clip in enumerate(clips):
            if clip is not None:
                pixels[index, : len(clip)] = self.image_processor.frames(clip)
                mask[index, : len(clip)] = True
        return {"pixel_values_videos": pixels, "video_mask": mask}
