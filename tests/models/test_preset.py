"""The shipped presets, and what a wrong one is told."""

from pathlib import Path

import pytest
import yaml

from openaffect.errors import ConfigError, UsageError, WeightsError
from openaffect.models.identity import tensors_identity
from openaffect.models.preset import (
    DEFAULT_MODEL,
    PRESETS,
    HubSource,
    PackageSource,
    load_preset,
    preset_names,
    read_preset,
)
from openaffect.models.pull_progress import SilentProgress
from openaffect.models.store import pull, verify


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_complete(name: str) -> None:
    preset = load_preset(name)
    for part in preset.parts.values():
        assert part.licence and part.credit and part.bytes > 0
        for source in part.sources:
            if isinstance(source, PackageSource):
                assert all(package.bytes > 1e6 for package in source.packages)
            if isinstance(source, HubSource):
                assert source.files or source.patterns
            assert str(source)


def test_what_must_be_got_by_hand_says_where(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path / "home"))
    preset = load_preset("emotion-llama-7b")
    part = preset.parts["mae"].model_copy(update={"bytes": 3})
    only = preset.model_copy(update={"parts": {"mae": part}})
    with pytest.raises(WeightsError, match="by hand from the drive folder"):
        pull(only, progress=SilentProgress())
    (tmp_path / "mae_checkpoint-340.pth").write_bytes(b"abc")
    found = pull(only, local=[tmp_path], progress=SilentProgress())["mae"]
    assert (found / "mae_checkpoint-340.pth").read_bytes() == b"abc"


def test_files_are_known_by_name_and_content(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path / "home"))
    preset = load_preset("emotion-llama-7b")
    part = preset.parts["hubert"].model_copy(update={"bytes": 3})
    only = preset.model_copy(update={"parts": {"hubert": part}})
    given = tmp_path / "given"
    given.mkdir()
    for name in ("pytorch_model.bin", "config.json", "preprocessor_config.json"):
        (given / name).write_bytes(b"x")
    folder = pull(only, local=[given], progress=SilentProgress())["hubert"]
    assert verify(only)[0].state == "unchecked"
    (folder / "config.json").write_bytes(b"y")
    assert verify(only)[0].state == "damaged"


def test_the_default_comes_first_and_knows_its_weights() -> None:
    assert preset_names()[0] == DEFAULT_MODEL
    preset = load_preset()
    assert set(preset.identities) == set(preset.parts)


def test_shipped_weights_are_the_ones_the_preset_names() -> None:
    for part in load_preset(DEFAULT_MODEL).parts.values():
        if part.bundled:
            assert tensors_identity(part.bundled.folder) == part.identity


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("summery",), "x", "top level: unknown key 'summery'; did you mean 'summary'?"),
        (("parts", "text", "licens"), "x", "parts.text: unknown key 'licens'.*'licence'"),
        (("parts", "text", "sources", 1, "fromat"), "x", "unknown key 'fromat'.*'format'"),
        (("parts", "text", "sources", 1, "format"), "gguf-lama", "did you mean 'gguf-llama'"),
        (("parts", "text", "identity"), "abc", "parts.text.identity"),
        (("parts", "text", "sources"), [], "parts.text.sources"),
        (("name",), "another", "calls itself 'another'"),
    ],
)
def test_a_wrong_preset_is_told_where(
    tmp_path: Path, path: tuple, value: object, said: str
) -> None:
    content = yaml.safe_load((PRESETS / f"{DEFAULT_MODEL}.yaml").read_text())
    inside = content
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    file = tmp_path / f"{DEFAULT_MODEL}.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=said) as caught:
        read_preset(file)
    assert "\n" not in str(caught.value)


def test_random_presets_have_nothing_to_fetch() -> None:
    with pytest.raises(UsageError, match="random weights"):
        load_preset("omni-emotion-tiny")
