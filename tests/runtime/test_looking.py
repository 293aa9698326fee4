"""What a model is made of, where the time goes, how full the device is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from scaffold_runtime import DeviceStats, Engine, Events, ModelSummary, Profiler


def test_a_summary_counts_parameters_and_bytes() -> None:
    """Trainable ones apart, buffers in the size, shared ones once in the total."""
    block = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    model = nn.Sequential(block, block, nn.Linear(3, 1))
    model[2].requires_grad_(False)
    summary = ModelSummary(model)
    named = {layer.name: layer for layer in summary.layers}
    assert (named["0"].parameters, named["0"].trainable) == (15, 15)
    assert named["0"].size == 4 * 15 + 4 * 6 + 8
    assert (named["2"].parameters, named["2"].trainable) == (4, 0)
    assert (summary.total.parameters, summary.total.trainable) == (19, 15)
    assert str(summary).splitlines()[-1].split() == ["total", "Sequential", "19", "15", "108", "B"]


@pytest.mark.parametrize(
    ("depth", "expected"), [(0, []), (1, ["0"]), (2, ["0", "0.0"]), (-1, ["0", "0.0", "0.0.0"])]
)
def test_a_summary_is_as_deep_as_asked(depth: int, expected: list[str]) -> None:
    """Nested layers are listed down to the depth."""
    model = nn.Sequential(nn.Sequential(nn.Sequential(nn.LazyLinear(1))))
    summary = ModelSummary(model, max_depth=depth)
    names = [layer.name for layer in summary.layers]
    assert [name for name in names if name != "0.0.0.0"] == expected


def test_a_profiled_run_leaves_a_trace_of_its_operators(tmp_path: Path) -> None:
    """Each window's trace holds its steps; it is there also when the run fails later."""
    engine = Engine(lambda engine, batch: torch.ones(8, 8) @ torch.full((8, 8), 1 / batch))
    Profiler(tmp_path / "deep", wait=1, warmup=1, active=2, repeat=2).attach(engine)
    with pytest.raises(ZeroDivisionError):
        engine.run([*range(1, 10), 0])
    names = sorted(path.name for path in (tmp_path / "deep").glob("*.json"))
    assert names == ["trace_iteration=4.json", "trace_iteration=8.json"]
    trace = json.loads((tmp_path / "deep" / names[0]).read_text())
    assert sum(event.get("name") == "aten::mm" for event in trace["traceEvents"]) == 2
    assert "aten::mm" in (tmp_path / "deep" / "operators_iteration=4.txt").read_text()


def test_a_run_shorter_than_the_window_leaves_what_it_has(tmp_path: Path) -> None:
    """A run that ends inside a window still writes its trace."""
    engine = Engine(lambda engine, batch: torch.ones(2) + 1)
    Profiler(tmp_path, wait=0, warmup=1, active=10).attach(engine)
    engine.run(range(3))
    assert (tmp_path / "trace_iteration=3.json").exists()


def test_the_memory_of_the_process_grows_with_what_it_holds() -> None:
    """A tensor of 200 MB shows in `cpu_memory`, work in `cpu_percent`."""
    stats = DeviceStats("cpu")
    before = stats.read()
    held = torch.ones(50_000_000)
    after = stats.read()
    assert 150 < after["cpu_memory"] - before["cpu_memory"] < 300
    assert after["cpu_percent"] > 10
    del held


def test_device_statistics_are_among_the_metrics() -> None:
    """They are read when their event happens, and not more often."""
    engine = Engine(lambda engine, batch: None)
    DeviceStats("cpu").attach(engine, Events.ITERATION_COMPLETED(once=3))
    assert engine.run([0, 0]).metrics == {}
    assert engine.run([0, 0, 0]).metrics["cpu_memory"] > 0
