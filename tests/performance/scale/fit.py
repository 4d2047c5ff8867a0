"""Fits one model on the current dataset and ranks some users: `python -m tests.performance.scale.fit NAME`.

A process for each algorithm, so that the peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np

from features.build.snapshots import current
from models import factory
from recsys.settings import get_settings
from training.experiment import load, shipped
from training.fit.trainer import create

__all__ = ["main"]

RANKED_USERS, RANKED = 2_000, 100


def main() -> None:
    """Print seconds of loading and of fitting, and how many users are ranked in a second, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm")
    parser.add_argument("--json", action="store_true")
    name = parser.parse_args().algorithm
    began = time.perf_counter()
    dataset = current(get_settings())
    loaded, busy = time.perf_counter(), time.process_time()
    # with the parameters that a training would use
    model = create(load(name)) if name in shipped() else factory.create(name)
    model.fit(dataset)
    fitted, fit_cpu = time.perf_counter(), time.process_time() - busy
    chosen = np.random.default_rng(0).permutation(len(dataset.users))[:RANKED_USERS]
    model.recommend(np.sort(dataset.users.ids[chosen]), RANKED)
    ranked = time.perf_counter() - fitted
    figures = {
        "load_seconds": loaded - began,
        "fit_seconds": fitted - loaded,
        "fit_cpu_seconds": fit_cpu,
        "users_per_second": chosen.size / ranked,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
