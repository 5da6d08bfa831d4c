"""EVA-CLIP's ViT-g/14 as MiniGPT uses it: BLIP-2's vision model with one norm of its own.

MiniGPT takes the tokens of EVA's 39th block without EVA's final norm and puts `ln_vision`, a layer
norm with PyTorch's default epsilon, behind them. transformers' Blip2VisionModel ends in a layer
norm as well, so it is that norm; only the epsilon differs from the blocks'.
"""

from transformers import AutoConfig, AutoModel, Blip2VisionConfig, Blip2VisionModel

LN_VISION_EPS = 1e-5  # torch.nn.LayerNorm's default


class EvaVitConfig(Blip2VisionConfig):
    """Sizes of an EvaVitModel; the defaults are Emotion-LLaMA's, 32 x 32 patches of 448 pixels."""

    model_type = "eva_vit"
    image_size: int = 448


class EvaVitModel(Blip2VisionModel):
    """Pictures (n, 3, H, W) to `last_hidden_state` (n, 1 + patches, D), the class token first."""

    config_class = EvaVitConfig

    def __init__(self, config: EvaVitConfig) -> None:
        super().__init__(config)
        self.post_layernorm.eps = LN_VISION_EPS


AutoConfig.register(EvaVitConfig.model_type, EvaVitConfig)
AutoModel.register(EvaVitConfig, EvaVitModel)
