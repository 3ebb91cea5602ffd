"""Seconds and peak memory of building the standard data set, and of loading it again from the cache.

    python benchmarks/simulation.py [name=value ...]

takes data settings, such as N=128 or nimgs_train=2. Run it in a fresh process: the peak is that of the whole process.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from ptycho_mlf.config import RunConfig
from ptycho_mlf.simulation import load_or_simulate


def main() -> None:
    data = RunConfig.from_flat(dict(setting.split("=", 1) for setting in sys.argv[1:])).data
    with tempfile.TemporaryDirectory() as cache:
        for what in ("build", "load"):
            start = time.perf_counter()
            dataset = load_or_simulate(data, Path(cache))
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            patterns = len(dataset.train.amplitude_nCNN) + len(dataset.test.amplitude_nCNN)
            print(f"{what}: {patterns} patterns of {data.N} x {data.N} px, {seconds:.2f} s, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
