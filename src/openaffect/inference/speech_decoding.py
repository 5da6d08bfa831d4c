"""Whisper's decoder, read greedily: one encoded window serves language, transcript and translation.

transformers' `generate` encodes again for every task; here the tasks of a window are rows of one
batch over the same encoder states. Rules of sampling (suppressed symbols, paired and rising time
stamps) are transformers' own logits processors, so that the tokens are those that it would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, WhisperForConditionalGeneration
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

TIME_STEP = 0.02  # seconds between two time stamps (openai/whisper, tokenizer.py)


@dataclass(frozen=True)
class Decoded:
    """What the decoder wrote for one task."""

    tokens: tuple[int, ...]  # text and time stamps, without the prompt and the end of text
    log_probability: float  # mean over the tokens and the end, before any rule of sampling
    finished: bool  # whether it reached the end of text by itself


class SpeechDecoder:
    """Greedy decoding of a Whisper model over given encoder states.

    Args:
        model: any multilingual Whisper with its generation settings (`lang_to_id`, `task_to_id`).
    """

    def __init__(self, model: WhisperForConditionalGeneration) -> None:
        self.model = model
        settings: Any = model.generation_config
        self.start: int = settings.decoder_start_token_id
        self.end: int = _single(settings.eos_token_id)
        self.no_speech: int = settings.no_timestamps_token_id - 1
        self.first_time: int = settings.no_timestamps_token_id + 1
        self.languages: dict[str, int] = {
            name.strip("<|>"): token for name, token in settings.lang_to_id.items()
        }
        self.tasks: dict[str, int] = dict(settings.task_to_id)
        self._settings: GenerationConfig = settings
        self._heard: tuple[Tensor, Any] | None = None  # states, and the cache after the start token

    @torch.inference_mode()
    def language_log_probabilities(self, states: Tensor) -> tuple[Tensor, float]:
        """Log-probability of every language, and the probability that nobody speaks.

        `states` is (1, positions, width). The first is (languages,) in the order of
        `self.languages`, over the languages alone. What was computed over these states is kept for
        `decode` of them, until other ones come: of several windows, for the last.
        """
        decoder = self.model.get_decoder()
        prompt = torch.tensor([[self.start]], device=states.device)
        output = decoder(input_ids=prompt, encoder_hidden_states=states, use_cache=True)
        self._heard = states, output.cache
        logits = self.model.proj_out(output.last_hidden_state[0, 0]).float()
        silence = float(logits.softmax(-1)[self.no_speech])
        return logits[list(self.languages.values())].log_softmax(-1), silence

    @torch.inference_mode()
    def decode(
        self, states: Tensor, language: str, tasks: Sequence[str], max_tokens: int
    ) -> list[Decoded]:
        """Write each of `tasks` ("transcribe", "translate") for one window, with time stamps.

        `states` is (1, positions, width).
        """
        rows = len(tasks)
        prompts = [[self.start, self.languages[language], self.tasks[task]] for task in tasks]
        ids = torch.tensor(prompts, device=states.device)
        rules = self._rules(ids.shape[1], states.device)
        decoder = self.model.get_decoder()
        shared = states.expand(rows, -1, -1)
        running = torch.ones(rows, dtype=torch.bool, device=states.device)
        totals = torch.zeros(rows, device=states.device)
        fed, past = ids, None
        if self._heard is not None and self._heard[0] is states:
            fed, past = ids[:, 1:], self._heard[1]
            past.batch_repeat_interleave(rows)
            self._heard = None
        room = self.model.config.max_target_positions - ids.shape[1]
        for _ in range(min(max_tokens, room)):
            out = decoder(input_ids=fed, encoder_hidden_states=shared, cache=past, use_cache=True)
            past = out.cache
            logits = self.model.proj_out(out.last_hidden_state[:, -1]).float()
            scores = logits
            for rule in rules:
                scores = rule(ids, scores)
            # A finished row goes on as end-of-text, which adds nothing to it.
            chosen = torch.where(running, scores.argmax(-1), self.end)
            likelihood = logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
            totals += torch.where(running, likelihood, 0.0)
            fed = chosen[:, None]
            ids = torch.cat([ids, fed], dim=1)
            running &= chosen != self.end
            if not running.any():
                break
        results = []
        for row in range(rows):
            tokens = ids[row, len(prompts[row]) :].tolist()
            finished = self.end in tokens
            written = tokens[: tokens.index(self.end)] if finished else tokens
            mean = float(totals[row]) / (len(written) + finished)
            results.append(Decoded(tuple(written), mean, finished))
        return results

    def _rules(self, begin: int, device: torch.device) -> list[Any]:
        settings: Any = self._settings
        rules: list[Any] = []
        if settings.suppress_tokens:
            rules.append(
                SuppressTokensLogitsProcessor(settings.suppress_tokens, device=str(device))
            )
        if settings.begin_suppress_tokens:
            rules.append(
                SuppressTokensAtBeginLogitsProcessor(
                    settings.begin_suppress_tokens, begin, device=str(device)
                )
            )
        rules.append(WhisperTimeStampLogitsProcessor(settings, begin_index=begin))
        return rules


def _single(token: int | list[int]) -> int:
    return token[0] if isinstance(token, list) else token
