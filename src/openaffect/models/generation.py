"""What every media language model shares: placeholders, the decoder, the head, and generation."""

from typing import Any

from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast


def fill_placeholders(embeds: Tensor, input_ids: Tensor, token_id: int, values: Tensor) -> Tensor:
    """Put media tokens (n, D) at their placeholders in embeds (B, L, D), in order.

    Raises:
        ValueError: their numbers differ.
    """
    places = input_ids == token_id
    if int(places.sum()) != len(values):
        raise ValueError(
            f"{int(places.sum())} placeholders (token {token_id}) for {len(values)} media "
            "tokens; lay the text out with the processor of the same configuration"
        )
    return embeds.masked_scatter(places[..., None], values.to(embeds.device, embeds.dtype))


def spread(features: Tensor, mask: Tensor) -> Tensor:
    """Features (n, ...) at the n places where `mask` is true, else zeros: (*mask.shape, ...)."""
    whole = features.new_zeros(*mask.shape, *features.shape[1:])
    whole[mask] = features
    return whole


class MediaModel:
    """A decoder whose input embeddings are text with media; `embed` is the family's own."""

    media_inputs: tuple[str, ...]  # names of the tensors that become media tokens
    towers: tuple[str, ...]  # frozen encoders, by attribute
    feature_fields: tuple[str, ...]  # configuration that their features depend on besides
    language_model: Any
    embed: Any  # (input_ids, **media) -> (B, L, D), every placeholder filled
    encode_media: Any  # the media inputs with what the towers say in place of pixels and sound

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states of text ids (B, L) with the family's media, or of embeddings as given."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        media = {name: kwargs.pop(name, None) for name in self.media_inputs}
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embed(input_ids, **media)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            use_cache=use_cache,
            **kwargs,
        )


class MediaGeneration(GenerationMixin):
    """A language modeling head on `self.model`, whose media are read once, with the prompt."""

    media_inputs: tuple[str, ...]  # names of the tensors that become media tokens
    model_class: type  # of `self.model`, a MediaModel
    config: Any
    loss_function: Any
    post_init: Any
    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = self.model_class(config)
        text = config.text_config
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, and the loss where labels (B, L) are given, -100 where none is taken.

        `kwargs` are the family's `media_inputs` and what its language model takes besides.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, keep, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            cache=outputs.cache,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        others = {k: v for k, v in model_kwargs.items() if k not in self.media_inputs}
        super()._validate_model_kwargs(others)

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict:
        """Media go through their towers with the prompt only, not again with every new token."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        if not kwargs.get("is_first_iteration", False) and kwargs.get("use_cache", True):
            for name in self.media_inputs:
                inputs.pop(name, None)
        return inputs
