"""A budget on networks with wide layers: seconds of each part, peak memory and accuracy, each in a process of its own.

VGG-11 is the trained one of RANKLINE_DATA on 512 images; ResNet-50V2 at 64x64 has random weights and inputs, so it has
no accuracy. The peer is an older commit in the same run, each in a clone of its own.

Run: python -m benchmarks.wide_networks [--against REV] [--cases vgg11_spatial,vgg11_all,resnet50v2_all] [--rounds 1]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.record import record

ROOT = Path(__file__).parents[1]

CASES = {
    "vgg11_spatial": ("vgg11_cifar10", ["spatial_svd"], 512, 0.3),
    "vgg11_all": ("vgg11_cifar10", None, 512, 0.3),
    "resnet50v2_all": ("ResNet50V2", None, 256, 0.5),
}
"""By name: the network, the methods, the samples, and the share of the FLOPs to keep."""


def measured(name: str, seed: int) -> dict[str, Any]:
    """The figures of a case, in this process."""
    import keras
    import numpy as np

    from benchmarks.networks import data_of, model_of
    from rankline.src.compress.budget.calibrated_model import CalibratedModel

    network, methods, samples, share = CASES[name]
    rng = np.random.default_rng(seed)
    data = None
    if network == "ResNet50V2":
        keras.utils.set_random_seed(seed)
        model = keras.applications.ResNet50V2(input_shape=(64, 64, 3), weights=None)
        x = rng.standard_normal((samples, 64, 64, 3)).astype(np.float32)
    else:
        with tempfile.TemporaryDirectory() as folder:
            model, data = model_of(network, Path(folder)), data_of(network)
        x = data.x_train[rng.choice(len(data.x_train), samples, replace=False)]
    started, spent = perf_counter(), process_time()
    budget = CalibratedModel(model, [x], methods=methods)
    budget.options  # noqa: B018
    priced = perf_counter()
    allocation = budget.allocate({"flops": share})
    allocated = perf_counter()
    made = budget.fit(allocation.plan)
    fitted = perf_counter()
    found = {
        "options_s": round(priced - started, 2),
        "allocation_s": round(allocated - priced, 2),
        "fit_s": round(fitted - allocated, 2),
        "total_s": round(fitted - started, 2),
        "processor_s": round(process_time() - spent, 2),
        "peak_GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "damage": float(f"{allocation.damage:.5g}"),
    }
    if data is not None:
        from rankline.src.compress.training.fine_tuning import evaluate

        found["test accuracy"] = round(evaluate(made, data.x_test, data.y_test).accuracy, 4)
    return found


def in_clone(tree: Path, name: str, seed: int) -> dict[str, Any]:
    """The figures of a case with the package of a tree, by this file."""
    code = f"import json; from benchmarks.wide_networks import measured; print(json.dumps(measured({name!r}, {seed})))"
    environment = {**os.environ, "PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tree, env=environment, check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": ROOT}
        if options.against:
            trees = {"before": Path(folder) / "before", **trees}
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(trees["before"])], check=True)
            subprocess.run(["git", "checkout", "--quiet", options.against], cwd=trees["before"], check=True)
            for name in ("wide_networks.py", "networks.py", "record.py"):
                (trees["before"] / "benchmarks" / name).write_text((ROOT / "benchmarks" / name).read_text())
        for case in options.cases:
            rounds = [
                {name: in_clone(tree, case, options.seed) for name, tree in trees.items()}
                for _ in range(options.rounds)
            ]
            best = {name: min((one[name] for one in rounds), key=lambda row: row["total_s"]) for name in trees}
            found[case] = best
            if options.against:
                found[case]["before / now"] = round(best["before"]["total_s"] / best["now"]["total_s"], 2)
            print(case, json.dumps(found[case]), flush=True)
    packages = ("keras", "numpy", "scipy", "tensorflow")
    facts = {"against": options.against, "rounds": options.rounds, "cases": found}
    print(record("wide_networks", options.seed, packages, facts))


if __name__ == "__main__":
    main()
