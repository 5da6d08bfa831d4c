"""Which small model a folder of trained parts belongs to."""

from pathlib import Path

from openaffect import DEFAULT_MODEL
from openaffect.errors import UsageError
from openaffect.models.assembly import assemble_small
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.emotion_llama_small import assemble_emotion_llama_small
from openaffect.models.generation import MediaGeneration
from openaffect.models.preset import EMOTION_LLAMA_SMALL, SMALL_PRESETS


def assemble_trained(
    settings: dict, parts: dict[str, Path], trained: Path, fusion: str | None
) -> tuple[MediaGeneration, ClipProcessor]:
    """The small model that trained parts belong to, with them in it.

    Args:
        settings: what `read_settings` gives of the folder.
        parts: folders of the pretrained parts.
        trained: folder of the trained parts.
        fusion: the one that is asked for, None for the one they were trained with.

    Raises:
        UsageError: they belong to no small preset, or that one has no choice of fusion.
        WeightsError: they do not fit.
    """
    preset = settings.get("model", DEFAULT_MODEL)
    if preset not in SMALL_PRESETS:
        raise UsageError(
            f"{trained}: these are trained parts of {preset}; only those of "
            f"{', '.join(SMALL_PRESETS)} are put together from such a folder"
        )
    if preset != EMOTION_LLAMA_SMALL:
        return assemble_small(parts, trained, fusion)
    if fusion is not None:
        raise UsageError(f"--fusion {fusion}: {preset} has no choice of fusion")
    return assemble_emotion_llama_small(parts, trained)
