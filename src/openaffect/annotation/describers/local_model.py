"""A Hugging Face model in a local folder as describer: of text alone, or with pictures or sound."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openaffect.annotation.describers import Request
from openaffect.errors import ConfigError, UsageError, WeightsError
from openaffect.media.digest import file_sha256
from openaffect.media.mel import SAMPLE_RATE

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

REPLY_TOKENS = 192  # most tokens of an answer


@dataclass(frozen=True)
class LocalModel:
    """A model that transformers can load without code of its own (safetensors, chat template).

    Args:
        folder: of `save_pretrained`.
        device: where it runs.
    """

    folder: Path
    device: str = "cpu"
    from_clip: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def identity(self) -> str:
        """Its name and one hash over configuration and weights."""
        digest = hashlib.sha256()
        files = [*self.folder.glob("*.safetensors"), *self.folder.glob("*.json")]
        for path in sorted(files):
            digest.update(f"{path.name} {file_sha256(path)}\n".encode())
        return f"{self.name} {digest.hexdigest()}"

    @cached_property
    def _loaded(self) -> tuple[Any, Any, bool]:
        """Model, its processor or tokenizer, and whether it takes media."""
        import torch
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForMultimodalLM,
            AutoProcessor,
            AutoTokenizer,
        )

        from openaffect.models.device import checked_device

        if not list(self.folder.glob("*.safetensors")):
            raise WeightsError(f"{self.folder}: holds no safetensors weights")
        try:
            device = checked_device(self.device)
        except UsageError as error:
            raise ConfigError(str(error)) from None  # of the whole build, not of a clip
        try:
            config = AutoConfig.from_pretrained(self.folder)
            media = config.get_text_config() is not config
            kind = AutoModelForMultimodalLM if media else AutoModelForCausalLM
            speaker = (AutoProcessor if media else AutoTokenizer).from_pretrained(self.folder)
            model = kind.from_pretrained(self.folder, dtype=torch.float32).eval().to(device)
        except (OSError, ValueError, KeyError) as error:
            told = str(error).splitlines()[0]
            raise ConfigError(f"{self.folder}: transformers cannot load it ({told})") from None
        return model, speaker, media

    def describe(self, request: Request, desk: Desk) -> str:
        """The answer, greedy. Raises ConfigError for media that the model does not take."""
        import torch

        model, speaker, media = self._loaded
        given = request.picture is not None or request.sound is not None
        if given and not media:
            raise ConfigError(
                f"{self.folder}: a text model cannot do {request.task}, which needs the clip"
            )
        content: Any = request.prompt
        if media:
            parts: list[dict[str, Any]] = []
            if request.picture is not None:
                from PIL import Image

                parts.append({"type": "image", "image": Image.fromarray(request.picture)})
            if request.sound is not None:
                parts.append({"type": "audio", "audio": request.sound})
            content = [*parts, {"type": "text", "text": request.prompt}]
        system: list[dict[str, Any]] = []
        if request.system:
            told: Any = [{"type": "text", "text": request.system}] if media else request.system
            system = [{"role": "system", "content": told}]
        options = {"sampling_rate": SAMPLE_RATE} if request.sound is not None else {}
        inputs = speaker.apply_chat_template(
            [*system, {"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **options,
        ).to(model.device)
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=REPLY_TOKENS, do_sample=False)
        answer = made[0, inputs["input_ids"].shape[1] :]
        text: str = speaker.decode(answer, skip_special_tokens=True)
        return text.strip()
