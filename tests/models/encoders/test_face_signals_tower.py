"""The face tower: what lies where in a face's token."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from openaffect.media.face_signals import FACE_SIGNAL_SIZE
from openaffect.models.encoders.face_signals_tower import (
    GROUPS,
    FaceSignalsConfig,
    FaceSignalsTower,
)


@pytest.fixture(scope="module")
def tower() -> FaceSignalsTower:
    torch.manual_seed(1)
    return FaceSignalsTower(FaceSignalsConfig()).eval()


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, 112, 112), dtype=torch.uint8)


def test_groups_follow_each_other_and_fill_the_token() -> None:
    slices = FaceSignalsConfig().group_slices
    assert tuple(slices) == GROUPS
    edges = [(part.start, part.stop) for part in slices.values()]
    assert edges == [(0, 7), (7, 14), (14, 270), (270, 270 + FACE_SIGNAL_SIZE)]
    assert FaceSignalsConfig().hidden_size == edges[-1][1]


def test_every_group_holds_what_its_name_says(tower: FaceSignalsTower, crops: torch.Tensor) -> None:
    signals = torch.randn(3, FACE_SIGNAL_SIZE)
    token = tower(crops, signals).last_hidden_state
    assert token.shape == (3, 1, tower.config.hidden_size)
    parts = {name: token[:, 0, part] for name, part in tower.config.group_slices.items()}
    net = tower.expression_net(crops)
    torch.testing.assert_close(parts["scores"], net.logits.softmax(-1))
    torch.testing.assert_close(parts["log_scores"], net.logits.log_softmax(-1).clamp_min(-12.0))
    torch.testing.assert_close(parts["features"], net.pooler_output)
    assert torch.equal(parts["signals"], signals)


def test_mirrored_average_does_not_know_left_from_right(crops: torch.Tensor) -> None:
    tower = FaceSignalsTower(FaceSignalsConfig(mirror=True)).eval()
    signals = torch.zeros(3, FACE_SIGNAL_SIZE)
    one = tower(crops, signals).last_hidden_state
    other = tower(crops.flip(-1), signals).last_hidden_state
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    average = tower.expression_net(crops).pooler_output
    average = (average + tower.expression_net(crops.flip(-1)).pooler_output) / 2
    torch.testing.assert_close(one[:, 0, tower.config.group_slices["features"]], average)


def test_nothing_in_it_trains(tower: FaceSignalsTower, crops: torch.Tensor) -> None:
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert not tower(crops, torch.zeros(3, FACE_SIGNAL_SIZE)).last_hidden_state.requires_grad


def test_no_faces_give_no_tokens(tower: FaceSignalsTower) -> None:
    empty = tower(torch.zeros(0, 3, 112, 112), torch.zeros(0, FACE_SIGNAL_SIZE))
    assert empty.last_hidden_state.shape == (0, 1, tower.config.hidden_size)


def test_signals_of_another_length_are_refused(
    tower: FaceSignalsTower, crops: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match=rf"\(3, {FACE_SIGNAL_SIZE}\), not \(3, 5\)"):
        tower(crops, torch.zeros(3, 5))


def test_saves_and_loads_itself(
    tower: FaceSignalsTower, crops: torch.Tensor, tmp_path: Path
) -> None:
    tower.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(again, FaceSignalsTower)
    signals = torch.randn(3, FACE_SIGNAL_SIZE)
    assert torch.equal(
        again(crops, signals).last_hidden_state, tower(crops, signals).last_hidden_state
    )


def test_half_precision_gives_half_precision(crops: torch.Tensor) -> None:
    tower = FaceSignalsTower(FaceSignalsConfig()).to(torch.bfloat16).eval()
    output = tower(crops, torch.zeros(3, FACE_SIGNAL_SIZE)).last_hidden_state
    assert output.dtype == torch.bfloat16
    assert output.isfinite().all()
