"""``tf.distribute``: a compression in the scope of a strategy runs on all its devices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from rankline.src.compress.training.fine_tuning import _shared_out


def test_a_model_is_compressed_on_two_devices(tmp_path: Path) -> None:
    """Of the 45 validation samples, and of the 64-sample batches, each device gets a part."""
    command = [sys.executable, "-m", "tests.helpers.distributed", str(tmp_path / "space.db")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert (found["devices"], found["mirrored"], found["status"]) == (2, True, "fell short")
    original, first = found["losses"]
    assert found["loss of the original"] == pytest.approx([original, original], rel=1e-5)
    assert original < first
    assert found["params"][0] > found["params"][1] == found["counted"]
    assert 0 <= found["test"] <= 1


class On:
    """A model on so many devices."""

    def __init__(self, devices: int) -> None:
        self.distribute_strategy = type("Strategy", (), {"num_replicas_in_sync": devices})


@pytest.mark.parametrize(
    ("batch_size", "count", "devices", "size"),
    [(64, 45, 2, 42), (64, 44, 2, 44), (64, 255, 2, 64), (32, 65, 2, 30), (32, 37, 4, 24), (64, 3, 4, 64)],
)
def test_a_batch_is_shared_out_so_that_no_device_goes_without(
    batch_size: int, count: int, devices: int, size: int
) -> None:
    assert _shared_out(batch_size, count, On(devices)) == size  # type: ignore[arg-type]


def test_on_one_device_a_batch_is_what_was_asked_for_or_all_samples() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert (_shared_out(32, 65, model), _shared_out(32, 7, model)) == (32, 7)
