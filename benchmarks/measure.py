"""
Measure one framework on one case, in this process, on one thread.

    python benchmarks/measure.py scaffold noop

prints the CPU seconds of one iteration. `benchmarks/run.py` calls it for every
framework in turn, several rounds long.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

ITERATIONS = {"noop": 200_000, "ten_filters": 200_000, "mlp": 4_000, "evaluate": 600}
REPEATS = {"noop": 5, "ten_filters": 5, "mlp": 3, "evaluate": 5}
BATCH, INPUTS, HIDDEN, CLASSES = 64, 64, 256, 10
EPOCH = 500  # Iterations of the MLP between two checkpoints.


def main() -> None:
    framework, case = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
    warnings.simplefilter("ignore")
    run = globals()[f"{framework}_{case}"]()
    run()  # Once before, so that caches and lazily imported parts are there.
    times = []
    # Lightning's loop is so much slower that once has to do.
    for _ in range(1 if framework == "lightning" else REPEATS[case]):
        gc.collect()
        begun = process_time()
        run()
        times.append(process_time() - begun)
    print(sorted(times)[len(times) // 2] / ITERATIONS[case])


# --- No-op step on a list -------------------------------------------------


def bare_noop() -> Callable[[], None]:
    """A loop and a call: what every framework does at least."""
    data = list(range(ITERATIONS["noop"]))

    def step(engine: Any, batch: Any) -> Any:
        return batch

    def run() -> None:
        for batch in data:
            step(None, batch)

    return run


bare_ten_filters = bare_noop


def noop_with(module: Any, handlers: int) -> Callable[[], None]:
    data = list(range(ITERATIONS["noop"]))
    engine = module.Engine(lambda engine, batch: batch)
    engine.add_event_handler(module.Events.ITERATION_COMPLETED(every=100), lambda engine: None)
    for _ in range(handlers):
        never = module.Events.ITERATION_COMPLETED(every=10**9)
        engine.add_event_handler(never, lambda engine: None)
    return lambda: engine.run(data, max_epochs=1)


def scaffold_noop() -> Callable[[], None]:
    import scaffold_runtime

    return noop_with(scaffold_runtime, handlers=0)


def scaffold_ten_filters() -> Callable[[], None]:
    import scaffold_runtime

    return noop_with(scaffold_runtime, handlers=10)


def ignite_noop() -> Callable[[], None]:
    import ignite.engine

    return noop_with(ignite.engine, handlers=0)


def ignite_ten_filters() -> Callable[[], None]:
    import ignite.engine

    return noop_with(ignite.engine, handlers=10)


def lightning_noop() -> Callable[[], None]:
    import torch

    class NoOp(lightning().LightningModule):
        automatic_optimization = False

        def training_step(self, batch: Any, index: int) -> None:
            pass

        def configure_optimizers(self) -> None:
            pass

    data = torch.utils.data.DataLoader(range(ITERATIONS["noop"] // 20), batch_size=None)
    return repeat(lambda: trainer(checkpoint=False).fit(NoOp(), data), times=20)


# --- An MLP with everything that a training shows and saves ------------------


def mlp() -> tuple[Any, Any, list[Any]]:
    """Return a model, its optimizer and an epoch of batches of random numbers."""
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(INPUTS, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, CLASSES)]
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = [(torch.randn(BATCH, INPUTS), torch.randint(CLASSES, (BATCH,))) for _ in range(EPOCH)]
    return model, optimizer, batches


def train_step(model: Any, optimizer: Any, batch: Any) -> Any:
    import torch.nn.functional as F

    x, y = batch
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def bare_mlp() -> Callable[[], None]:
    """A loop that does nothing but train."""
    model, optimizer, batches = mlp()

    def run() -> None:
        for _ in range(ITERATIONS["mlp"] // EPOCH):
            for batch in batches:
                train_step(model, optimizer, batch)

    return run


def scaffold_mlp() -> Callable[[], None]:
    from scaffold_runtime import Checkpoint, Engine, Events
    from scaffold_runtime.handlers import ProgressBar
    from scaffold_runtime.loggers import JsonLinesLogger
    from scaffold_runtime.metrics import RunningAverage

    model, optimizer, batches = mlp()
    folder = Path(tempfile.mkdtemp())
    engine = Engine(lambda engine, batch: train_step(model, optimizer, batch))
    RunningAverage().attach(engine, "loss")
    ProgressBar(disable=False, file=quiet()).attach(engine, ["loss"])
    logger = JsonLinesLogger(folder / "metrics.jsonl")
    often = Events.ITERATION_COMPLETED(every=50)
    logger.attach_output_handler(engine, often, "train", ["loss"])
    parts = {"trainer": engine, "model": model, "optimizer": optimizer}
    engine.add_event_handler(Events.EPOCH_COMPLETED, Checkpoint(folder, parts))
    return lambda: engine.run(batches, max_epochs=ITERATIONS["mlp"] // EPOCH)


def ignite_mlp() -> Callable[[], None]:
    import json

    from ignite.contrib.handlers import ProgressBar
    from ignite.engine import Engine, Events
    from ignite.handlers import Checkpoint, DiskSaver
    from ignite.metrics import RunningAverage

    model, optimizer, batches = mlp()
    folder = tempfile.mkdtemp()
    # As in its documentation, the step returns a number.
    engine = Engine(lambda engine, batch: train_step(model, optimizer, batch).item())
    RunningAverage(output_transform=lambda loss: loss).attach(engine, "loss")
    ProgressBar(file=quiet()).attach(engine, ["loss"])
    log = Path(folder, "metrics.jsonl").open("a")  # noqa: SIM115

    @engine.on(Events.ITERATION_COMPLETED(every=50))
    def write(engine: Any) -> None:
        log.write(json.dumps(engine.state.metrics) + "\n")

    parts = {"trainer": engine, "model": model, "optimizer": optimizer}
    saver = Checkpoint(parts, DiskSaver(folder, require_empty=False), n_saved=2)
    engine.add_event_handler(Events.EPOCH_COMPLETED, saver)
    return lambda: engine.run(batches, max_epochs=ITERATIONS["mlp"] // EPOCH)


def lightning_mlp() -> Callable[[], None]:
    import torch

    model, optimizer, batches = mlp()

    class Module(lightning().LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            loss = torch.nn.functional.cross_entropy(self.model(x), y)
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> Any:
            return optimizer

    data = torch.utils.data.DataLoader(batches, batch_size=None)
    epochs = ITERATIONS["mlp"] // EPOCH
    return lambda: trainer(checkpoint=True, epochs=epochs).fit(Module(), data)


# --- Accuracy, loss and confusion matrix over an evaluation -------------------


def scores_and_labels() -> list[Any]:
    import torch

    torch.manual_seed(0)
    return [
        (torch.randn(BATCH, CLASSES), torch.randint(CLASSES, (BATCH,)))
        for _ in range(ITERATIONS["evaluate"])
    ]


def evaluate_with(engine_class: Any, metrics: Any) -> Callable[[], None]:
    import torch.nn.functional as F

    data = scores_and_labels()
    engine = engine_class(lambda engine, batch: batch)
    metrics.Accuracy().attach(engine, "accuracy")
    metrics.Loss(F.cross_entropy).attach(engine, "loss")
    metrics.ConfusionMatrix(CLASSES).attach(engine, "confusion")
    return lambda: engine.run(data)


def scaffold_evaluate() -> Callable[[], None]:
    from scaffold_runtime import Engine, metrics

    return evaluate_with(Engine, metrics)


def ignite_evaluate() -> Callable[[], None]:
    from ignite import metrics
    from ignite.engine import Engine

    return evaluate_with(Engine, metrics)


def torchmetrics_evaluate() -> Callable[[], None]:
    import torch.nn.functional as F
    from torchmetrics import MeanMetric
    from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

    data = scores_and_labels()
    metrics = [MulticlassAccuracy(CLASSES, average="micro"), MulticlassConfusionMatrix(CLASSES)]
    mean = MeanMetric()

    def run() -> None:
        for metric in (*metrics, mean):
            metric.reset()
        for scores, labels in data:
            for metric in metrics:
                metric.update(scores, labels)
            mean.update(F.cross_entropy(scores, labels), len(labels))
        for metric in (*metrics, mean):
            metric.compute()

    return run


# --- What the cases share -------------------------------------------------


def lightning() -> Any:
    import lightning.pytorch

    return lightning.pytorch


def trainer(checkpoint: bool, epochs: int = 1) -> Any:
    """Return a Lightning trainer that does what the other frameworks do here, and no more."""
    import logging

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning().Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=tempfile.mkdtemp(),
        logger=lightning().loggers.CSVLogger(tempfile.mkdtemp()) if checkpoint else False,
        log_every_n_steps=50,
        enable_checkpointing=checkpoint,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def repeat(run: Callable[[], Any], times: int) -> Callable[[], None]:
    def run_repeatedly() -> None:
        for _ in range(times):
            run()

    return run_repeatedly


def quiet() -> Any:
    """A terminal that throws away what it is shown."""
    return Path("/dev/null").open("w")


def cases() -> Iterator[tuple[str, str]]:
    """Yield every case with the frameworks that take part, as their functions above say."""
    for name in globals():
        framework, _, case = name.partition("_")
        if case in ITERATIONS:
            yield case, framework


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main()
