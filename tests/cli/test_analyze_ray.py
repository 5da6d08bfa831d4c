"""Folders on a Ray cluster: the files are those of local workers, failures stay apart."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_analyze_clips import write_clip

from openaffect.cli.run_record import RECORD_NAME
from openaffect.errors import UsageError
from openaffect.inference.ray_workers import _actors
from openaffect.inference.worker_process import WorkerSettings


def test_no_more_actors_than_the_cluster_holds() -> None:
    two = {"CPU": 4.0, "GPU": 1.0}
    assert _actors(two, WorkerSettings(("m",), threads=2), None, 9) == 2
    assert _actors(two, WorkerSettings(("m",), threads=1), None, 3) == 3
    assert _actors(two, WorkerSettings(("m",), "cuda", threads=1), None, 9) == 1
    for settings, jobs in (
        (WorkerSettings(("m",), threads=2), 3),
        (WorkerSettings(("m",), threads=8), None),
        (WorkerSettings(("m",), "cuda:0"), 2),
    ):
        with pytest.raises(UsageError, match="room for"):
            _actors(two, settings, jobs, 9)


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    from openaffect.inference.ray_workers import run_on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"openaffect\[ray\]"):
        list(run_on_ray([], WorkerSettings(("m",)), 1))


def run(
    folder: Path, out: Path, model: Path, *more: str, **env: str
) -> subprocess.CompletedProcess:
    words = ["analyze", str(folder), "--out", str(out), "--model", str(model), *more]
    return subprocess.run(
        [sys.executable, "-m", "openaffect", *words],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, **env},
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_of_two_machines_writes_what_local_workers_write(tmp_path, small_parts) -> None:
    """Two nodes with one processor each, so that each holds one actor."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from ray.cluster_utils import Cluster

    from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

    model, clips = tmp_path / "model", tmp_path / "clips"
    network = tiny_model()
    network.save_pretrained(model)
    tiny_processor(network.config).save_pretrained(model)
    clips.mkdir()
    for number in range(5):
        write_clip(clips / f"{number}.mp4", 20 + 30 * number)
    (clips / "broken.mp4").write_text("these are only words")
    local = run(clips, tmp_path / "local", model, "--jobs", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes(timeout=120)
        place = {"RAY_ADDRESS": cluster.address}
        far = run(clips, tmp_path / "ray", model, "--engine", "ray", "--jobs", "2", **place)
        again = run(clips, tmp_path / "ray", model, "--engine", "ray", **place)
        small = run(clips, tmp_path / "x", model, "--engine", "ray", "--jobs", "3", **place)
        none = run(clips, tmp_path / "y", tmp_path / "nonesuch", "--engine", "ray", **place)
    finally:
        cluster.shutdown()
    assert far.returncode == local.returncode == 1, far.stderr
    assert far.stderr == local.stderr and "1 of 6 clips failed" in far.stderr
    names = sorted(path.name for path in (tmp_path / "local").glob("*.json"))
    assert len(names) == 5
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "ray" / RECORD_NAME).read_text().splitlines()]
    assert sum(row["status"] == "done" for row in rows) == 5  # the second run did none anew
    assert again.returncode == 1
    assert small.returncode == 2 and "room for 2" in small.stderr
    assert none.returncode == 2 and "nonesuch" in none.stderr and "Traceback" not in none.stderr
