"""`openaffect models build` and `release`: full-size models from published checkpoints and back.

The tiny ones are built too, from random weights, for tests and dry runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from openaffect.cli.models import group
from openaffect.errors import UsageError

if TYPE_CHECKING:
    from openaffect.models.checkpoints.report import KeyReport

OMNI_EMOTION, EMOTION_LLAMA = "omni-emotion-7b", "emotion-llama-7b"
OMNI_TINY, LLAMA_TINY = "omni-emotion-tiny", "emotion-llama-tiny"
BUILDABLE = (OMNI_EMOTION, EMOTION_LLAMA, OMNI_TINY, LLAMA_TINY)
FILES = {
    "facexformer": "model.pt",
    "eva": "eva_vit_g.pth",
    "mae": "mae_checkpoint-340.pth",
    "videomae": "maeVideo_ckp199.pth",
}
"""Files as the presets' part folders hold them; the other parts are folders."""

Parts = dict[str, Path | None]


def folder(text: str) -> Any:
    """An option that names a part's folder."""
    return typer.Option(metavar="DIR", help=text)


def file(text: str) -> Any:
    """An option that names a part's file."""
    return typer.Option(metavar="FILE", help=text)


def register(app: typer.Typer) -> None:
    """Add the commands to the `models` group, which is part of the app already."""
    commands: dict[str, Callable[..., None]] = {"build": build, "merge": merge, "release": release}
    for name, command in commands.items():
        if all(known.name != name for known in group.registered_commands):
            group.command(name)(command)


def build(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=" or ".join(BUILDABLE))],
    out: Annotated[Path, folder("The folder to make.")],
    llava: Annotated[Path | None, folder("llava-onevision-qwen2-7b-ov, either layout.")] = None,
    whisper: Annotated[Path | None, folder("whisper-large-v3.")] = None,
    facexformer: Annotated[Path | None, file("FaceXFormer's model.pt.")] = None,
    checkpoint: Annotated[Path | None, file("A released Emotion-LLaMA checkpoint.")] = None,
    start: Annotated[Path | None, file("MiniGPT-v2's in its place, to train from.")] = None,
    llama: Annotated[Path | None, folder("Llama-2-7b-chat-hf.")] = None,
    eva: Annotated[Path | None, file("BLIP-2's eva_vit_g.pth.")] = None,
    mae: Annotated[Path | None, file("FaceMAE's mae_checkpoint-340.pth.")] = None,
    videomae: Annotated[Path | None, file("VideoMAE's maeVideo_ckp199.pth.")] = None,
    hubert: Annotated[Path | None, folder("chinese-hubert-large.")] = None,
    fusion: Annotated[
        str, typer.Option(help="video_concat, frame_concat or cross_attention.")
    ] = "video_concat",
    layout: Annotated[
        str, typer.Option(help="Emotion-LLaMA's prompts: consistent, published-eval or demo.")
    ] = "consistent",
    frame: Annotated[
        str, typer.Option(help="The frame Emotion-LLaMA looks at: first, middle or peak.")
    ] = "first",
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    seed: Annotated[int, typer.Option(help="Of the parts that no checkpoint holds.")] = 0,
) -> None:
    """Stream published parts into one checkpoint, every key accounted for in key_report.json.

    A part that is not given is the one that `openaffect models pull` fetched.
    """
    if model not in BUILDABLE:
        raise UsageError(f"{model!r} cannot be built; known: {', '.join(BUILDABLE)}")
    if model in (OMNI_TINY, LLAMA_TINY):
        given = [llava, whisper, facexformer, checkpoint, start, llama, eva, mae, videomae, hubert]
        if any(given):
            raise UsageError(f"{model} has random weights; it takes no parts")
        _tiny(model, out, seed)
        typer.echo(f"random weights written to {out}")
        return
    from openaffect.models.pull_progress import TerminalProgress

    bar = TerminalProgress()
    settings = {
        "out": out,
        "dtype": dtype,
        "seed": seed,
        "progress": lambda written, total: bar.at("writing", written, total),
    }
    try:
        if model == OMNI_EMOTION:
            parts: Parts = {"llava": llava, "whisper": whisper, "facexformer": facexformer}
            report = _omni_emotion(parts, fusion, settings)
        else:
            parts = {"llama": llama, "eva": eva, "mae": mae, "videomae": videomae, "hubert": hubert}
            report = _emotion_llama(parts, checkpoint, start, layout, frame, settings)
    finally:
        bar.close()
    typer.echo(report.summary())
    if model == EMOTION_LLAMA:
        from openaffect.models.checkpoints.build_emotion_llama import released_counts

        adapters, projections = released_counts(report)
        typer.echo(f"{adapters} LoRA tensors and {projections} projection tensors loaded")
    typer.echo(f"written to {out}")


def _tiny(model: str, out: Path, seed: int) -> None:
    """Write a random model of a few dozen numbers a layer with its processor."""
    from openaffect.models.checkpoints.writer import folder_at_once
    from openaffect.models.emotion_llama import tiny as emotion_llama
    from openaffect.models.omni_emotion import tiny as omni_emotion

    family: Any = omni_emotion if model == OMNI_TINY else emotion_llama
    made = family.tiny_model(seed)
    with folder_at_once(out) as folder:
        made.save_pretrained(folder)
        family.tiny_processor(made.config).save_pretrained(folder)


def _found(model: str, parts: Parts) -> dict[str, Any]:
    """Every part: the given one, or the one that was pulled."""
    from openaffect.models.store import part_directory

    return {
        name: path or part_directory(model, name, pull=False) / FILES.get(name, "")
        for name, path in parts.items()
    }


def _omni_emotion(parts: Parts, fusion: str, settings: dict[str, Any]) -> KeyReport:
    from openaffect.models.checkpoints.build import build_omni_emotion
    from openaffect.models.omni_emotion.configuration import Fusion

    _one_of("fusion", fusion, get_args(Fusion))
    return build_omni_emotion(**settings, **_found(OMNI_EMOTION, parts), fusion=fusion)


def _emotion_llama(
    parts: Parts,
    checkpoint: Path | None,
    start: Path | None,
    layout: str,
    frame: str,
    settings: dict[str, Any],
) -> KeyReport:
    from openaffect.models.checkpoints.build_emotion_llama import build_emotion_llama
    from openaffect.models.emotion_llama.configuration import FrameChoice
    from openaffect.models.emotion_llama.processing import Layout

    _one_of("layout", layout, get_args(Layout))
    _one_of("frame", frame, get_args(FrameChoice))
    if (checkpoint is None) == (start is None):
        raise UsageError(
            "give either --checkpoint, a released Emotion-LLaMA, or --start, MiniGPT-v2's "
            "checkpoint to train from"
        )
    return build_emotion_llama(
        **{"checkpoint": checkpoint or start, **_found(EMOTION_LLAMA, parts)},
        start=start is not None,
        layout=layout,  # type: ignore[arg-type]
        frame=frame,
        **settings,
    )


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"--{option} {value!r} is not one of {', '.join(known)}")


def merge(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="The checkpoint trained from.")],
    trained: Annotated[Path, folder("The `trained` folder of a run.")],
    out: Annotated[Path, folder("The folder to make.")],
) -> None:
    """Write a checkpoint with the parts that were trained on it, to analyse with and evaluate."""
    from openaffect.models.checkpoints.load import write_with_trained

    if not (model / "config.json").is_file():
        raise UsageError(
            f"{model}: holds no checkpoint; name the folder that `openaffect models build` made. "
            "Trained parts of a small model are used as they are: --model TRAINED"
        )
    write_with_trained(model, trained, out)
    typer.echo(f"written to {out}")


def release(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="A built Emotion-LLaMA.")],
    out: Annotated[Path, file("The checkpoint to write.")],
) -> None:
    """Write adapters and projections as the released Emotion-LLaMA code reads them."""
    from openaffect.models.checkpoints.build_emotion_llama import write_released

    count = write_released(model, out)
    typer.echo(f"{count} tensors written to {out}")
