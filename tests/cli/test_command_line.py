"""The command as a user meets it: exit codes, one line per error, no traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import openaffect
from openaffect.cli import one_line, unexpected

Run = Callable[[list[str]], tuple[int, str, str]]


def openaffect_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from openaffect.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_version_and_help() -> None:
    assert openaffect_command("--version").stdout == f"openaffect {openaffect.__version__}\n"
    shown = openaffect_command("--help")
    assert shown.returncode == 0
    listed = ("analyze", "models", "train", "data", "eval")
    assert all(f"\n  {command}" in shown.stdout for command in listed)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["analyse"], "No such command 'analyse'"),
        (["analyze"], "Missing argument"),
        (["analyze", "--colour", "x.mp4"], "No such option: --colour"),
        (["analyze", "no such.mp4"], "no such.mp4: no such file or folder"),
        (["analyze", "http://example.org/a.mp4"], "network addresses are not opened"),
        (["analyze", "{empty}"], "holds no media files"),
        (["analyze", "{clip}", "--start", "2", "--end", "1"], "--end 1 must come after --start 2"),
        (["analyze", "{clip}", "--start", "-1"], "Invalid value for '--start'"),
        (["analyze", "{clip}", "--frames", "0"], "Invalid value for '--frames'"),
        (["analyze", "{clip}", "--labels", "joy, joy,"], "at least two different labels"),
        (["analyze", "{clip}", "--labels", "joy,", "calm,", "sad"], "--labels takes A,B,C without"),
        (["analyze", "{clip}", "--streams", "face,", "voice"], "'face,' and 'voice' stand apart"),
        (["analyze", "no.mp4", "--labels", "joy,"], "no.mp4: no such file"),
        (["analyze", "{clip}", "--format", "csv"], "--out DIR"),
        (["analyze", "{clip}", "--out", "{empty}", "--format", "docx"], "unknown format 'docx'"),
        (["analyze", "{clip}", "--out", "{empty}", "--format", ","], "names no form"),
        (["analyze", "{clip}", "--out", "{clip}"], "is not a folder"),
        (["analyze", "{clip}", "--embed"], "add --html"),
        (["analyze", "{clip}", "{clip}2", "--subtitle", "hi"], "belongs to one clip"),
        (["analyze", "{clip}", "--subtitle", " "], "holds no words"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_code_2(
    tmp_path: Path,
    arguments: list[str],
    told: str,
    run_here: Run,
) -> None:
    empty, clip = tmp_path / "empty", tmp_path / "a.mp4"
    empty.mkdir()
    for path in (clip, tmp_path / "a.mp42"):
        path.write_bytes(b"nothing")
    filled = [argument.format(empty=empty, clip=clip) for argument in arguments]
    code, out, err = run_here(filled)
    assert code == 2, err
    assert told in err
    assert "Traceback" not in err
    assert out == ""
    errors = [line for line in err.splitlines() if told in line]
    assert len(errors) == 1


@pytest.mark.parametrize(
    "command",
    [
        "analyze {clip} --out {out}",
        "eval clips --data {folder} --out {out}",
        "eval dfew --data {folder} --out {out}",
        "eval table --data clips={folder} --out {out}",
        "eval lmms-tasks dfew --data {folder} --out {out}",
        "eval classification --reference {clip} --predictions {clip} --out {out}",
        "eval open-vocabulary --reference {clip} --predictions {clip} --out {out}",
        "data build merr {folder} {out}",
        "data synth --out {out}",
        "data example --out {out}",
        "data features {clip} --model {folder} --out {out}",
    ],
)
@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_where_a_folder_is_to_be_written_is_told_at_once(
    tmp_path: Path, run_here: Run, command: str, below: str
) -> None:
    for name in ("a.mp4", "afile"):
        (tmp_path / name).write_text("nothing")
    out = f"{tmp_path / 'afile'}{below}"
    words = command.format(clip=tmp_path / "a.mp4", folder=tmp_path, out=out).split()
    code, printed, err = run_here(words)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    place = f"{out}: {tmp_path / 'afile'}" if below else out
    assert f"{'OUT' if 'build' in command else '--out'} {place} is not a folder" in err


def test_a_subtitle_file_that_cannot_be_used_fails_before_any_work(
    tmp_path: Path, run_here: Run
) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"nothing")
    arguments = ["analyze", str(clip), "--subtitle", str(tmp_path / "no.srt")]
    code, _, err = run_here(arguments)
    assert code == 1
    assert err.startswith("openaffect: cannot read the subtitles")
    assert err.count("\n") == 1


def test_debugging_shows_the_traceback(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, plain = run_here(["analyze", "no such.mp4"])
    assert "Traceback" not in plain
    monkeypatch.setenv("OPENAFFECT_DEBUG", "1")
    _, _, debugging = run_here(["analyze", "no such.mp4"])
    assert "Traceback" in debugging
    assert debugging.endswith(plain)


def test_an_error_nobody_foresaw_is_one_line() -> None:
    told = unexpected(RuntimeError("first\nsecond\x1b[31m" + "x" * 1000))
    assert told.startswith("unexpected error: RuntimeError: first second [31mx")
    assert "OPENAFFECT_DEBUG=1" in told
    assert "\n" not in told
    assert len(told) < 400
    assert one_line(" a\r\n\tb\x00 ") == "a b"


def test_an_interrupt_exits_with_130() -> None:
    code = (
        "import openaffect.cli as c, sys\n"
        "def register(app):\n"
        "    @app.command('wait')\n"
        "    def wait():\n"
        "        raise KeyboardInterrupt\n"
        "import types\n"
        "sys.modules['openaffect.cli.wait'] = types.SimpleNamespace(register=register)\n"
        "c.COMMANDS = (*c.COMMANDS, 'wait')\n"
        "sys.argv = ['openaffect', 'wait']\n"
        "c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -c 'from openaffect.cli import main; main()' analyze --help"
    shell = f"{command} | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_training_says_what_the_paper_leaves_open(run_here, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path))
    recipes = Path(__file__).parents[2] / "recipes"
    code, _, told = run_here(
        ["train", str(recipes / "omni-emotion-7b" / "stage3-instruct.yaml"), "device=cpu"]
    )
    assert code == 2  # there is no such model here
    assert told.splitlines()[0].startswith("the paper leaves open: tasks, trains, lora, schedule.")
    small = recipes / "omni-emotion-small" / "stage1-audio.yaml"
    code, _, told = run_here(["train", str(small), "device=nowhere"])
    assert code == 2 and "the paper leaves open" not in told
