"""The build's memory, and the files that it streams."""

import json
from dataclasses import replace

import published_checkpoints as published
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from memory import STATUS, anonymous_memory
from safetensors.torch import load_file, save_file

from openaffect.errors import WeightsError
from openaffect.models.checkpoints import sources
from openaffect.models.checkpoints.build import build_omni_emotion
from openaffect.models.checkpoints.sources import open_folder
from openaffect.models.checkpoints.writer import PlannedTensor, write_sharded

MEGABYTE = 10**6


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc, which is not here")
@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_a_large_checkpoint_never_lies_in_memory(kind, tmp_path, monkeypatch) -> None:
    """410 MB of embeddings and head go through in pieces of 8 MB, narrowed on the way."""
    monkeypatch.setattr(sources, "PIECE_BYTES", 8 * MEGABYTE)
    rows = 1_600_000
    tensors = published.llava_tensors(published.llava_oracle(), "hf-disk")
    names = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
    for name in names:
        tensors[name] = torch.rand(rows, 32)
    some = tensors[names[1]][::9973].to(torch.bfloat16)
    published.write_llava_tensors(tmp_path / "llava", tensors, "hf-disk", kind)
    config = published.llava_config("hf-disk")
    config["text_config"]["vocab_size"] = rows
    (tmp_path / "llava" / "config.json").write_text(json.dumps(config))
    del tensors
    published.write_whisper(tmp_path / "whisper", published.whisper_oracle())
    face = published.face_tensors(published.FACE)
    published.write_facexformer(tmp_path / "model.pt", face)
    before = anonymous_memory()
    peak = 0

    def watch(written: int, total: int) -> None:
        nonlocal peak
        peak = max(peak, anonymous_memory())
        assert written <= total

    build_omni_emotion(
        tmp_path / "llava",
        tmp_path / "whisper",
        tmp_path / "model.pt",
        tmp_path / "out",
        face_config=published.FACE,
        progress=watch,
    )
    assert (tmp_path / "out" / "model.safetensors").stat().st_size > 200 * MEGABYTE
    assert peak - before < 60 * MEGABYTE
    built = load_file(tmp_path / "out" / "model.safetensors")["lm_head.weight"]
    assert torch.equal(built[::9973], some)


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=6),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    shard=st.integers(1, 400),
    piece=st.integers(1, 64),
)
def test_what_is_written_is_what_safetensors_reads(
    shapes, dtype, shard, piece, tmp_path_factory
) -> None:
    """Any shapes, piece and shard sizes: safetensors reads back the same numbers."""
    folder = tmp_path_factory.mktemp("written")
    tensors = {f"t{i}.weight": torch.randn(shape) for i, shape in enumerate(shapes)}
    original = folder / "original"
    original.mkdir()
    save_file(tensors, original / "model.safetensors")
    source = open_folder(original)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PIECE_BYTES", piece)
        planned = [
            PlannedTensor(key, source.shape(key), lambda key=key: source.pieces(key), dtype)
            for key in tensors
        ]
        total = write_sharded(folder, planned, shard)
    assert total == sum(t.numel() for t in tensors.values()) * dtype.itemsize
    reopened = open_folder(folder)
    assert sorted(reopened.keys()) == sorted(tensors)
    for name, tensor in tensors.items():
        assert reopened.dtype(name) == dtype
        assert torch.equal(reopened.read(name), tensor.to(dtype))


def test_a_source_that_gives_too_little_is_noticed(tmp_path) -> None:
    tensor = PlannedTensor("short", (4, 3), lambda: [torch.zeros(3, 3)], torch.float32)
    with pytest.raises(WeightsError, match="short gave 9 numbers, not 12"):
        write_sharded(tmp_path, [tensor])
    assert replace(tensor, shape=(3, 3)).count == 9


def test_damaged_and_absent_files_are_one_line(tmp_path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        open_folder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="weights_only"):
        open_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        open_folder(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(WeightsError, match="not beside it"):
        open_folder(tmp_path)
    index.write_text("[]")
    with pytest.raises(WeightsError, match="index"):
        open_folder(tmp_path)
