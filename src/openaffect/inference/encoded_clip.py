"""One clip after the frozen towers: all that questions about it need, without its media."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from openaffect.inference.inputs import ClipInputs
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.generation import MediaGeneration
from openaffect.prompts.conversation import Given

SCENE_BY_FACE = "scene-by-face"
"""Of a model that looks at the frame in which the face acts most: the scene when a face is given
too; `scene` is then the frame that is chosen without one."""


@dataclass(frozen=True)
class EncodedClip:
    """What the model is given of a clip, and what its towers say of each stream."""

    given: Given
    streams: dict[str, dict[str, Tensor]] = field(repr=False)  # stream -> media inputs, batch of 1

    def only(self, streams: Sequence[str]) -> "EncodedClip":
        """The same without the streams that are not named."""
        return EncodedClip(self.given.only(streams), self.streams)

    @property
    def media(self) -> dict[str, Tensor]:
        """The media inputs of everything that is given."""
        parts: list[dict[str, Tensor]] = []
        if self.given.video:
            scene = self.streams["scene"]
            parts.append(self.streams.get(SCENE_BY_FACE, scene) if self.given.face else scene)
        parts += [self.streams["face"]] if self.given.face else []
        parts += [self.streams["voice"]] if self.given.voice else []
        return {name: tensor for part in parts for name, tensor in part.items()}


@torch.inference_mode()
def encode_clip(
    model: MediaGeneration, processor: ClipProcessor, inputs: ClipInputs, given: Given
) -> EncodedClip:
    """Run the towers over the streams that are given, each by itself."""
    frames, people = inputs.frames, inputs.faces()
    laid_out: dict[str, dict[str, Tensor]] = {}
    if given.video:
        scene = processor.media_inputs([frames], [[]], [None])
        laid_out["scene"] = scene
        if given.face and processor.frame_follows_face:
            both = processor.media_inputs([frames], [people], [None])
            laid_out[SCENE_BY_FACE] = {name: both[name] for name in scene}
    if given.face:
        laid_out["face"] = processor.media_inputs([None], [people], [None])
    if given.voice:
        laid_out["voice"] = processor.media_inputs([None], [[]], [inputs.voice])
    return EncodedClip(
        given,
        {
            stream: model.model.encode_media({n: t.to(model.device) for n, t in media.items()})
            for stream, media in laid_out.items()
        },
    )
