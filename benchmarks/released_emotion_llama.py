"""Runs the released code of Emotion-LLaMA on small random weights, and ours on the same.

In two steps, because the released code needs transformers 4.30 and peft 0.2:

    python benchmarks/released_emotion_llama.py run --code CHECKOUT --out FOLDER   (theirs)
    python benchmarks/released_emotion_llama.py compare --out FOLDER               (ours)

`run` wants the packages of the checkout's environment that its model, data set and prompts
import: torch, torchvision, transformers==4.30.0, peft==0.2.0, accelerate==0.20.3, timm==0.6.13,
numpy<2, protobuf<4, omegaconf, iopath, webdataset, sentencepiece, opencv, scikit-image, matplotlib,
pandas, soundfile, moviepy<2. It trains a tokenizer, draws weights, saves all parts as published,
lets the released code load its checkpoint, and records the logits of its training step and of its
evaluation for two clips. `compare` builds our model from these parts and prints how far its logits
are. Widths are the released ones but the language model's; depths are small. Each clip is a frame
and three feature vectors: the released model takes faces, motion and voice as features.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

DEPTH = 2  # of every transformer
WIDTH, HEADS, LLAMA_MLP = 64, 4, 96  # of the language model
EVA_WIDTH, EVA_MLP, EVA_SIDE = 1408, 6144, 16  # 16 x 16 patches of 224 pixels, as published
VIT_WIDTH, VIT_MLP = 1024, 64
RANK, VOCABULARY = 8, 600
LIMIT = 1e-3  # difference of logits in float32
ENDS = {"config": {}, "optimizer": {}, "scaler": {}, "epoch": 29}  # beside a saved model
RECORD = "released.pt"
LAYOUTS = TRAINED, _ = "consistent", "published-eval"


def drawn(*shape: int) -> torch.Tensor:
    """Random weights of a deviation that keeps the size of what they multiply."""
    return torch.randn(*shape) / max(shape[-1], 50) ** 0.5


def vit(prefix: str, width: int, mlp: int, blocks: int, qv_bias: bool) -> dict[str, torch.Tensor]:
    """Blocks of a ViT under timm's names."""
    tensors = {}
    for number in range(blocks):
        name = f"{prefix}blocks.{number}"
        for norm in ("norm1", "norm2"):
            tensors[f"{name}.{norm}.weight"] = 1 + drawn(width)
            tensors[f"{name}.{norm}.bias"] = drawn(width)
        tensors[f"{name}.attn.qkv.weight"] = drawn(3 * width, width)
        biases = ("q_bias", "v_bias") if qv_bias else ("qkv.bias",)
        for bias in biases:
            tensors[f"{name}.attn.{bias}"] = drawn(width if qv_bias else 3 * width)
        for layer, out, into in (
            ("attn.proj", width, width),
            ("mlp.fc1", mlp, width),
            ("mlp.fc2", width, mlp),
        ):
            tensors[f"{name}.{layer}.weight"] = drawn(out, into)
            tensors[f"{name}.{layer}.bias"] = drawn(out)
    return tensors


def write_towers(out: Path) -> None:
    """`eva_vit_g.pth`, and encoders of face and motion, which the released model does not run."""
    eva = vit("", EVA_WIDTH, EVA_MLP, DEPTH + 1, qv_bias=True) | {
        "cls_token": drawn(1, 1, EVA_WIDTH),
        "pos_embed": drawn(1, EVA_SIDE**2 + 1, EVA_WIDTH),
        "patch_embed.proj.weight": drawn(EVA_WIDTH, 3, 14, 14) / 10,
        "patch_embed.proj.bias": drawn(EVA_WIDTH),
    }
    mae = vit("", VIT_WIDTH, VIT_MLP, 1, qv_bias=False) | {
        "cls_token": drawn(1, 1, VIT_WIDTH),
        "pos_embed": drawn(1, 197, VIT_WIDTH),
        "patch_embed.proj.weight": drawn(VIT_WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": drawn(VIT_WIDTH),
        "norm.weight": 1 + drawn(VIT_WIDTH),
        "norm.bias": drawn(VIT_WIDTH),
    }
    motion = vit("encoder.", VIT_WIDTH, VIT_MLP, 1, qv_bias=True) | {
        "encoder.patch_embed.proj.weight": drawn(VIT_WIDTH, 3, 2, 16, 16),
        "encoder.patch_embed.proj.bias": drawn(VIT_WIDTH),
    }
    torch.save(eva, out / "eva.pth")
    torch.save({"model": mae}, out / "mae.pth")
    torch.save({"model": motion}, out / "videomae.pth")


def write_language_and_voice(out: Path, text: Path) -> None:
    """A LLaMA with a SentencePiece tokenizer trained on `text`, and a HuBERT."""
    import sentencepiece
    from transformers import (
        HubertConfig,
        HubertModel,
        LlamaConfig,
        LlamaForCausalLM,
        LlamaTokenizerFast,
    )

    folder = out / "llama"
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=LLAMA_MLP,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        rms_norm_eps=1e-5,
    )
    language = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in language.parameters():
            parameter.copy_(drawn(*parameter.shape) + (parameter.ndim == 1))
    language.save_pretrained(folder)
    # transformers 4.30 loses the first merge when it converts a tokenizer: let it be of no use.
    (folder / "text.txt").write_text(text.read_text() + "~~\n" * 9999)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["$$"],  # the released code's padding
    )
    LlamaTokenizerFast(vocab_file=str(folder / "tokenizer.model")).save_pretrained(folder)
    voice = HubertConfig(
        hidden_size=VIT_WIDTH,
        intermediate_size=VIT_MLP,
        num_hidden_layers=1,
        num_attention_heads=16,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    )
    HubertModel(voice).save_pretrained(out / "hubert")


def write_clips(out: Path) -> None:
    """Two clips as the released data set reads them: list, words, captions, features, frames."""
    rng = np.random.default_rng(0)
    waves = np.linspace(0, 9, 640)[None, :, None] + np.linspace(0, 5, 360)[:, None, None]
    soft = 127 + 100 * np.sin(waves + np.arange(3)) + rng.normal(0, 9, (360, 640, 3))
    frames = {
        "square": rng.integers(0, 256, (448, 448, 3)),
        "wide": soft.clip(0, 255),  # is resized
    }
    words = {"square": "I have no doubt: it is over", "wide": "Oh, what a day!"}
    for name, frame in frames.items():
        np.save(out / f"{name}.frame.npy", frame.astype(np.uint8))
        for folder in ("mae_340_UTT", "maeV_399_UTT", "HL-UTT"):
            (out / folder).mkdir(exist_ok=True)
            np.save(out / folder / f"{name}.npy", rng.normal(size=VIT_WIDTH).astype(np.float32))
    (out / "list.txt").write_text("square 9 happy\nwide 9 sad\n")
    lines = [f'{name},"{said}"\n' for name, said in words.items()]
    (out / "transcription_en_all.csv").write_text("name,sentence\n" + "".join(lines))
    captions = {name: {"caption": "Her brows are raised; (she) smiles!"} for name in words}
    (out / "MERR_coarse_grained.json").write_text(json.dumps(captions))
    (out / "MERR_fine_grained.json").write_text("{}")


def enter(code: Path) -> None:
    """Make the checkout importable without its start-up file, which imports all it has."""
    package = ModuleType("minigpt4")
    package.__path__ = [str(code / "minigpt4")]
    sys.modules["minigpt4"] = package


def released_items(out: Path) -> list[dict[str, Any]]:
    """The clips by the released data set: one is asked for a label, one for a reason."""
    import pandas
    from minigpt4.datasets.datasets import first_face
    from minigpt4.processors.blip_processors import Blip2ImageTrainProcessor, BlipCaptionProcessor

    # Its paths are the authors' own; of each only the file's name is kept.
    first_face.open = lambda path, mode="r": (out / Path(path).name).open(mode)
    first_face.pd = SimpleNamespace(read_csv=lambda path: pandas.read_csv(out / Path(path).name))
    pictures = Blip2ImageTrainProcessor(image_size=448)
    data = first_face.FeatureFaceDataset(
        pictures, BlipCaptionProcessor(), str(out), str(out / "list.txt")
    )
    data.extract_frame = lambda path: np.load(out / f"{Path(path).stem}.frame.npy")
    items = []
    for index, task in enumerate(("emotion", "reason")):
        data.task_pool = [task]
        items.append(data[index])
    return items


def released_model(out: Path, checkpoint: str = "") -> Any:
    """The released model with few layers and a small LLaMA, all in single precision."""
    from minigpt4.models import base_model, eva_vit
    from minigpt4.models.minigpt_v2 import MiniGPTv2

    whole, llama = eva_vit.VisionTransformer, base_model.LlamaForCausalLM
    eva_vit.VisionTransformer = lambda **sizes: whole(**sizes | {"depth": DEPTH})
    eva_vit.download_cached_file = lambda *_, **__: out / "eva.pth"
    base_model.LlamaForCausalLM = SimpleNamespace(
        from_pretrained=lambda path, **_: llama.from_pretrained(path, torch_dtype=torch.float32)
    )
    try:
        model = MiniGPTv2.from_config(
            {
                "image_size": 448,
                "vit_precision": "fp32",
                "llama_model": str(out / "llama"),
                "lora_r": RANK,
                "chat_template": True,
                "end_sym": "</s>",
                "max_txt_len": 1024,
                "ckpt": checkpoint,
            }
        )
    finally:
        eva_vit.VisionTransformer, base_model.LlamaForCausalLM = whole, llama
    return model.eval()


def write_checkpoint(out: Path) -> None:
    """What the released trainer saves: all but the frozen, with random weights."""
    model = released_model(out)
    frozen = {name for name, tensor in model.named_parameters() if not tensor.requires_grad}
    kept = {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
    trained = dict(model.named_parameters())
    kept = {name: drawn(*t.shape) if name in trained else t for name, t in kept.items()}
    torch.save({"model": kept, **ENDS}, out / "checkpoint.pth")


def run(code: Path, out: Path) -> None:
    """Write every part and what the released code makes of them."""
    random.seed(0)  # the data set draws a question
    torch.manual_seed(0)
    out.mkdir(parents=True)
    enter(code)
    write_towers(out)
    write_language_and_voice(out, code / "README.md")
    write_clips(out)
    write_checkpoint(out)

    from minigpt4.conversation.conversation import CONV_VISION_minigptv2
    from torch.utils.data import default_collate

    model, items = released_model(out, str(out / "checkpoint.pth")), released_items(out)
    batch = default_collate(items)
    heard: list[list[torch.Tensor]] = []

    def listen(_: Any, __: Any, given: dict[str, Any], output: Any) -> None:
        there = given["attention_mask"].bool()
        heard.append([row[mask] for row, mask in zip(output.logits, there, strict=True)])

    # peft 0.2 steps over the inner module in training, and over the outer in generation
    for module in (model.llama_model.base_model, model.llama_model.base_model.model):
        module.register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        model(batch)
    prompts = []
    for text in batch["instruction_input"]:
        talk = CONV_VISION_minigptv2.copy()
        talk.append_message(talk.roles[0], text)
        talk.append_message(talk.roles[1], None)
        prompts.append(talk.get_prompt())
    model.generate(batch["image"], batch["video_features"], prompts, max_new_tokens=1)
    names = ("image_id", "instruction_input", "answer", "image", "video_features")
    record = {name: [item[name] for item in items] for name in names}
    torch.save(record | dict(zip(LAYOUTS, heard, strict=True)), out / RECORD)


def build(out: Path) -> None:
    """Ours from the published parts."""
    from transformers import VideoMAEConfig, ViTMAEConfig

    from openaffect.models.checkpoints.build_emotion_llama import build_emotion_llama
    from openaffect.models.encoders.eva_vit import EvaVitConfig

    small: dict[str, Any] = {
        "hidden_size": VIT_WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 16,
        "intermediate_size": VIT_MLP,
        "layer_norm_eps": 1e-6,
    }
    report = build_emotion_llama(
        **{name: out / f"{name}.pth" for name in ("checkpoint", "eva", "mae", "videomae")},
        **{name: out / name for name in ("llama", "hubert")},
        out=out / "built",
        dtype="float32",
        vision_config=EvaVitConfig(num_hidden_layers=DEPTH),
        face_config=ViTMAEConfig(**small, mask_ratio=0.0),
        motion_config=VideoMAEConfig(**small, use_mean_pooling=True),
    )
    print(report.summary())


@torch.inference_mode()
def compare(out: Path) -> bool:
    """Print how far our logits are from the released code's; False where it is too far."""
    from transformers import AutoModelForMultimodalLM, AutoProcessor

    from openaffect.prompts.conversation import Given
    from openaffect.prompts.emotion_llama import EmotionLlamaDialogue

    if not (out / "built").exists():
        build(out)
    model = AutoModelForMultimodalLM.from_pretrained(out / "built").eval()
    processor = AutoProcessor.from_pretrained(out / "built")
    dialogue = EmotionLlamaDialogue(processor)
    record = torch.load(out / RECORD, weights_only=True)
    lines = (out / "transcription_en_all.csv").read_text().splitlines()[1:]
    there, near = torch.tensor([True]), True
    deviation = torch.tensor(processor.image_processor.image_std).view(3, 1, 1)
    for index, name in enumerate(record["image_id"]):
        theirs = record["image"][index]
        ours = processor.image_processor.frames(np.load(out / f"{name}.frame.npy")[None])[0]
        steps = float((255 * deviation * (ours - theirs)).abs().max())
        print(f"{name}: pixels at most {steps:.2f} of 255 apart")
        face, motion, voice = record["video_features"][index][:, None]
        media = {"pixel_values": theirs[None], "frame_mask": there}
        media |= {"face_features": face, "motion_features": motion, "person_mask": there}
        media |= {"audio_features": voice[None], "audio_mask": there}
        words = lines[index].partition(",")[2].strip('"')
        given = Given(video=True, face=True, voice=True, words=words)
        question = "[" + record["instruction_input"][index].partition("[")[2].rstrip()
        for layout in LAYOUTS:
            processor.layout = layout
            inputs = processor.lay_out([dialogue.text(given, question)], media)
            if layout == TRAINED:  # the training step reads the answer too
                answer = torch.tensor([dialogue.answer_ids(record["answer"][index])])
                inputs["input_ids"] = torch.cat([inputs["input_ids"], answer], 1)
                inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            ours, theirs = model(**inputs).logits[0], record[layout][index]
            if ours.shape != theirs.shape:
                print(f"  {layout}: {len(ours)} positions, the released code has {len(theirs)}")
                near = False
                continue
            apart, spread = float((ours - theirs).abs().max()), float(theirs.std())
            near &= apart < LIMIT
            told = (
                f"{len(ours)} positions, logits of deviation {spread:.2f} at most {apart:.1e} apart"
            )
            print(f"  {layout}: {told}")
    return near


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("run", "compare"))
    parser.add_argument("--code", type=Path, help="checkout of ZebangCheng/Emotion-LLaMA")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    if chosen.step == "run":
        run(chosen.code.resolve(), chosen.out.resolve())
    elif not compare(chosen.out):
        sys.exit(f"some logits are {LIMIT} or more apart")


if __name__ == "__main__":
    main()
