"""Turn weights as they are published into folders that `from_pretrained` reads.

A converter is a function `(raw, out)`: `raw` is a folder with the published files under the names
that the preset gives them, `out` an empty folder that it fills. Equal input gives equal tensors on
every machine, since a part's identity is a hash over them.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

Converter = Callable[[Path, Path], None]

# format named in a preset -> module and function, imported on use: each pulls in torch or more
_CONVERTERS = {
    "gguf-llama": ("gguf_llama", "convert_gguf_llama"),
    "ctranslate2-whisper": ("ctranslate2_whisper", "convert_ctranslate2_whisper"),
    "transformers-whisper": ("transformers_whisper", "convert_transformers_whisper"),
    "tflite-efficientnet-lite": ("tflite_efficientnet", "convert_tflite_efficientnet"),
    "as-published": ("as_published", "copy_as_published"),
}
FORMATS = tuple(_CONVERTERS)


def converter(source_format: str) -> Converter:
    """The converter for one of FORMATS."""
    module, function = _CONVERTERS[source_format]
    found: Converter = getattr(import_module(f"{__name__}.{module}"), function)
    return found
