"""The full-size benchmark at its tiny size, and its count of operations."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "full_size.py"
spec = importlib.util.spec_from_file_location("full_size_benchmark", SCRIPT)
assert spec is not None and spec.loader is not None
full_size = importlib.util.module_from_spec(spec)
spec.loader.exec_module(full_size)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fusion": "frame_concat", "face_grid": 3, "audio_pool_stride": 2},
        {"audio_crop": True, "vision_pool_stride": 1},
    ],
)
def test_operations_are_those_that_torch_counts(changes) -> None:
    config = full_size.tiny_config(**changes)
    model = full_size.make_model(config, "cpu", torch.float32)
    model.set_attn_implementation("eager")  # torch counts no operations of a CPU's fused attention
    inputs = full_size.make_inputs(config, "cpu", torch.float32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**inputs, logits_to_keep=1)
    tokens = inputs["input_ids"].shape[1]
    assert counter.get_total_flops() == full_size.prefill_flops(config, tokens)


def test_full_size_prompt_and_operations() -> None:
    """16 x 196 + 1 frames, 16 x 196 + 1 faces, 500 voice, 128 words: 123 Tflop."""
    config = full_size.omni_emotion_7b_config()
    tokens = 2 * (16 * 196 + 1) + 500 + 128
    assert full_size.frame_tokens(config) == 196
    decoder_linear = 2 * tokens * 28 * (3584 * (2 * 3584 + 2 * 512) + 3 * 3584 * 18944)
    total = full_size.prefill_flops(config, tokens)
    assert decoder_linear < total < 1.6 * decoder_linear
    assert round(total / 1e12) == 123


def test_runs_on_a_cpu_and_reports_every_step(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(full_size, "NEW_TOKENS", 4)
    monkeypatch.setattr(full_size, "FRAMES", 2)
    out = tmp_path / "result.json"
    options = {"size": "tiny", "device": "cpu", "dtype": "float32", "repeats": 1, "out": out}
    full_size.main([f"--{name}={value}" for name, value in options.items()])
    result = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == result
    for step in ("forward", "generate", "stage1", "stage3"):
        assert result[step]["seconds"] > 0 and result[step]["peak_memory_gb"] > 0
    assert result["prompt_tokens"] == 2 * 4 + 1 + 2 * 4 + 1 + 500 + 128
    assert result["stage1"]["tokens"] == 500 + 128
    assert result["prefill_mfu"] is None  # no peak is listed for a CPU


def test_the_model_is_made_in_its_number_type() -> None:
    model = full_size.make_model(full_size.tiny_config(), "cpu", torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() == torch.float32
    again = full_size.make_model(full_size.tiny_config(), "cpu", torch.bfloat16)
    for name, tensor in model.state_dict().items():
        assert tensor.isfinite().all() and torch.equal(tensor, again.state_dict()[name]), name


def test_only_the_named_parts_learn() -> None:
    config = full_size.tiny_config()
    model = full_size.make_model(config, "cpu", torch.float32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = full_size.make_inputs(config, "cpu", torch.float32, sight=False)
    full_size.train_step(model, inputs, [model.model.audio_projector])()
    changed = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {name for name in before if name.startswith("model.audio_projector.")}
