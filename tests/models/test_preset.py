"""The shipped presets, and what a wrong one is told."""

from pathlib import Path

import pytest
import yaml

from openaffect.errors import ConfigError, UsageError
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
