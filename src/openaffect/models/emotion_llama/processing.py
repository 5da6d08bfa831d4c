"""From one frame, faces, voice and text to the model's tensors.

A text is cut where media or a beginning-of-sequence token stand, and every piece is tokenised by
itself, as the released code does: with LLaMA's tokenizer each piece then begins with a word mark.
A slot becomes as many placeholders as the media that are there have tokens; a text names no slot
for media that are not there.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchFeature, WhisperFeatureExtractor

from openaffect.errors import UsageError
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.mel import SAMPLE_RATE
from openaffect.media.peak_frame import peak_of
from openaffect.models.clip_processing import (
    ClipImageProcessor,
    ClipProcessor,
    FaceInput,
    Picture,
)
from openaffect.models.emotion_llama.configuration import FrameChoice

VIDEO_SLOT = "<VideoHere>"
FEATURE_SLOT = "<FeatureHere>"
BEGIN = "<s>"  # in a text: a beginning-of-sequence token, besides the one before every text
MASKS = (("frame_mask",), ("face_mask", "person_mask"), ("audio_lengths", "audio_mask"))
"""Which inputs say that a sample has a frame, a person, a voice."""
PERSON_TOKENS = 2  # face and motion
VOICE_TOKENS = 1

Layout = Literal["consistent", "published-eval", "demo"]
"""Where media tokens stand: `consistent` as in training, the frame's patches in the video slot and
all others in the feature slot; `published-eval` and `demo` as the released code evaluates and
serves, all in the video slot, the feature tag staying behind as text."""

# The training layout, for what transformers itself renders; `prompts.emotion_llama` writes all.
CHAT_TEMPLATE = """{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- '[INST] ' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] if part['type'] == 'video' -%}
{{- '<video><VideoHere></video> <feature><FeatureHere></feature> ' -}}
{%- endfor -%}
{%- for part in message['content'] if part['type'] == 'text' -%}{{- part['text'] -}}{%- endfor -%}
{%- endif -%}
{{- ' [/INST]' -}}
{%- endif -%}
{%- endfor -%}"""


class EmotionLlamaImageProcessor(ClipImageProcessor):
    """One frame, and face crops as FaceMAE and VideoMAE take them: 0 to 1, not normalised."""

    model_input_names = ["pixel_values", "face_pixel_values"]

    def __init__(
        self,
        size: int = 448,
        image_mean: Sequence[float] = (0.48145466, 0.4578275, 0.40821073),
        image_std: Sequence[float] = (0.26862954, 0.26130258, 0.27577711),
        face_size: int = 224,
        face_mean: Sequence[float] = (0.0, 0.0, 0.0),
        face_std: Sequence[float] = (1.0, 1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(size, image_mean, image_std, face_size, face_mean, face_std, **kwargs)

    def preprocess(self, images: Picture, **kwargs: Any) -> BatchFeature:
        """transformers' entry point: one frame (H, W, 3)."""
        return BatchFeature({"pixel_values": self.frames(np.asarray(images)[None])})


def chosen_frame(choice: FrameChoice, frames: int, faces: Sequence[FaceInput] = ()) -> int:
    """Index of the frame that is looked at, of so many.

    `faces` are those of the person in question; the peak is the frame in which they act most.
    Without measured faces it is the middle one.
    """
    measured = [face.signals for face in faces if face.signals is not None]
    if not measured:
        return frame_of(choice, frames)
    actions = np.stack(measured)[:, : len(BLENDSHAPE_NAMES)]
    return frame_of(choice, frames, [face.frame for face in faces], actions)


def frame_of(
    choice: FrameChoice,
    frames: int,
    seen: Sequence[int] = (),
    blendshapes: NDArray[np.floating] | None = None,
) -> int:
    """`chosen_frame` from blendshapes (n, 52) of the faces that were found in the frames `seen`."""
    if choice == "first":
        return 0
    if choice == "peak" and blendshapes is not None:
        return seen[peak_of(blendshapes)]
    return frames // 2


class EmotionLlamaProcessor(ClipProcessor):
    """Text with `<VideoHere>` and `<FeatureHere>`, and the media for them.

    Args:
        layout: which slots a text has; see Layout.
        frame: which of a clip's frames is looked at, as in `EmotionLlamaConfig`.
        patch_tokens: tokens of the frame's patches.
        class_token: whether the frame has a class token besides.
        media_token_id: placeholder of every media token.
        audio_crop, voice_signals: as in OmniEmotionProcessor, for an audio tower that takes mels.
        labels: the closed set that the weights were trained for; None for the published one.
        clip_frames: frames in which the person's face is looked for, all of a short clip's.
        frame_sampling: how they are spread; with `uniform` the first frame is among them.
        reason_task: the task that asks for a reason, as in training.
    """

    people_seen = 1
    media_input_names = (
        "pixel_values",
        "frame_mask",
        "face_pixel_values",
        "face_signals",
        "face_mask",
        "input_values",
        "input_features",
        "audio_lengths",
        "audio_signals",
    )

    def __init__(
        self,
        image_processor: EmotionLlamaImageProcessor | None = None,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        layout: Layout = "consistent",
        frame: FrameChoice = "first",
        patch_tokens: int = 256,
        class_token: bool = True,
        media_token_id: int = 0,
        audio_crop: bool = True,
        voice_signals: bool = False,
        labels: Sequence[str] | None = None,
        clip_frames: int = 128,
        frame_sampling: Literal["midpoints", "uniform"] = "uniform",
        reason_task: Literal["reason", "reason_v2"] = "reason",
        **kwargs: Any,
    ) -> None:
        self.layout = layout
        self.frame_sampling = frame_sampling
        self.reason_task = reason_task
        self.frame = frame
        self.patch_tokens = patch_tokens
        self.class_token = class_token
        self.media_token_id = media_token_id
        self.audio_crop = audio_crop
        self.voice_signals = voice_signals
        self.clip_frames = clip_frames
        self.labels = None if labels is None else list(labels)
        super().__init__(
            image_processor,
            feature_extractor,
            tokenizer,
            chat_template=chat_template or CHAT_TEMPLATE,
        )

    def frames_seen(self, frames: int) -> int:
        return min(frames, 1)

    @property
    def frame_follows_face(self) -> bool:  # type: ignore[override]
        return self.frame == "peak"

    @property
    def settings(self) -> dict[str, Any]:
        return {"layout": self.layout, "frame": self.frame}

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that this layout fills; others are ordinary text."""
        return (VIDEO_SLOT, FEATURE_SLOT) if self.layout == "consistent" else (VIDEO_SLOT,)

    def slot_lengths(self, frame: bool, person: bool, voice: bool) -> dict[str, int]:
        """Media tokens of each slot for what is there."""
        patches = self.patch_tokens if frame else 0
        others = person * PERSON_TOKENS + voice * VOICE_TOKENS + (frame and self.class_token)
        if self.layout == "consistent":
            return {VIDEO_SLOT: patches, FEATURE_SLOT: others}
        return {VIDEO_SLOT: patches + others}

    def token_ids(self, text: str, lengths: dict[str, int]) -> list[int]:
        """Token ids of a text, its beginning-of-sequence token included, slots expanded.

        Raises:
            UsageError: a slot without media, or media without a slot.
        """
        for slot in self.slots:
            if text.count(slot) != (lengths.get(slot, 0) > 0):
                raise UsageError(
                    f"the text has {text.count(slot)} {slot} and there "
                    f"{'are such media' if lengths.get(slot) else 'are no such media'}; write the "
                    "slot once where its media are given, and leave it out where they are not"
                )
        ids = [self.tokenizer.bos_token_id]
        for piece in re.split(f"({'|'.join(self.slots)})", text):
            is_slot = piece in self.slots
            ids += [self.media_token_id] * lengths[piece] if is_slot else self.piece_ids(piece)
        return ids

    def piece_ids(self, text: str) -> list[int]:
        """Token ids of a text without slots, each piece between BEGINs tokenised by itself."""
        ids: list[int] = []
        for number, piece in enumerate(text.split(BEGIN)):
            ids += [self.tokenizer.bos_token_id] if number else []
            ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"] if piece else []
        return ids

    def lay_out(
        self,
        texts: Sequence[str],
        media: Mapping[str, Tensor],
        return_tensors: str | None = "pt",
        padding_side: str = "left",
        **kwargs: Any,
    ) -> BatchFeature:
        """As `ClipProcessor.lay_out`; a text has the slots of its media.

        Raises:
            UsageError: slots and media do not agree.
        """
        there = [
            [any(bool(media[n][index].any()) for n in names if n in media) for names in MASKS]
            for index in range(len(texts))
        ]
        rows = [
            self.token_ids(prompt, self.slot_lengths(*streams))
            for prompt, streams in zip(texts, there, strict=True)
        ]
        padded = self.tokenizer.pad({"input_ids": rows}, padding=True, padding_side=padding_side)
        data = {**media, **{name: padded[name] for name in ("input_ids", "attention_mask")}}
        return BatchFeature(data, tensor_type=return_tensors)

    def media_inputs(
        self,
        clips: Sequence[Picture | None],
        people: Sequence[Sequence[Sequence[FaceInput]]],
        voices: Sequence[NDArray[np.float32] | None],
    ) -> dict[str, Tensor]:
        return super().media_inputs(clips, [tracks[:1] for tracks in people], voices)

    def people_inputs(self, people: Sequence[Sequence[Sequence[FaceInput]]]) -> dict[str, Tensor]:
        return {name: tensor[:, 0] for name, tensor in self.face_inputs(people).items()}

    def frame_inputs(
        self, clips: Sequence[Picture | None], people: Sequence[Sequence[Sequence[FaceInput]]]
    ) -> dict[str, Tensor]:
        """The chosen frame of each sample that has frames."""
        side = self.image_processor.size
        pixels = torch.zeros(len(clips), 3, side, side)
        mask = torch.zeros(len(clips), dtype=torch.bool)
        for index, (clip, tracks) in enumerate(zip(clips, people, strict=True)):
            if clip is not None:
                place = chosen_frame(self.frame, len(clip), tracks[0] if tracks else ())
                pixels[index] = self.image_processor.frames(clip[place : place + 1])[0]
                mask[index] = True
        return {"pixel_values": pixels, "frame_mask": mask}

    def voice_inputs(self, voices: Sequence[NDArray[np.float32] | None]) -> dict[str, Tensor]:
        """Each voice as its audio tower takes it: mels in chunks, or all of its samples."""
        if isinstance(self.feature_extractor, WhisperFeatureExtractor):
            inputs = self.audio_inputs(voices)
            if "audio_signals" in inputs:  # one vector for the whole voice: its chunks' mean
                there = (inputs["audio_lengths"] > 0)[..., None]
                sums = (inputs["audio_signals"] * there).sum(1)
                inputs["audio_signals"] = sums / there.sum(1).clamp(min=1)
            return inputs
        lengths = torch.tensor([[0 if voice is None else len(voice)] for voice in voices])
        values = torch.zeros(len(voices), 1, int(lengths.max()))
        for index, voice in enumerate(voices):
            if voice is not None:
                samples = self.feature_extractor(voice, sampling_rate=SAMPLE_RATE).input_values[0]
                values[index, 0, : len(voice)] = torch.as_tensor(samples)
        return {"input_values": values, "audio_lengths": lengths}
