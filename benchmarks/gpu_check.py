"""Fit the same bank on one GPU and on the CPU; print card, wall time, peak memory and the ratio.

    .venv/bin/python benchmarks/gpu_check.py [--queries 600] [--draws 300] [--data DIR]

Without --data a benchmark is simulated, so that nothing beside the repository is needed. Each fit runs in a process of its own,
because JAX settles on its devices once. Without a GPU it says so, fits on the CPU only and exits with status 0. Appends a JSON
line to benchmarks/results/gpu.jsonl where there was a GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "gpu.jsonl"


def one_fit(arguments: argparse.Namespace) -> dict[str, object]:
    """Fit on whatever JAX is allowed to see, in this process."""
    import jax
    import numpy as np

    from bayes_irt_router.data.canonical import read_dataset, select_split
    from bayes_irt_router.data.encoder import Encoder
    from bayes_irt_router.data.featurize import featurize
    from bayes_irt_router.data.simulation import simulate
    from bayes_irt_router.inference.fitting import fit
    from bayes_irt_router.inference.nuts import NUTS
    from bayes_irt_router.irt.mirt import MIRT

    if arguments.data:
        data = read_dataset(arguments.data)
    else:
        data = simulate(np.random.default_rng(0), queries=arguments.queries).dataset
    data = featurize(select_split(data, "train"), Encoder())
    started = time.perf_counter()
    posterior = fit(
        MIRT(),
        data,
        NUTS(draws=arguments.draws, tune=arguments.draws),
        assume_output_tokens=None if "output_tokens" in data else 200,
    )
    seconds = time.perf_counter() - started
    device = jax.devices()[0]
    memory = device.memory_stats() or {}
    return {
        "device": posterior.record["device"],
        "seconds": round(seconds, 1),
        "peak_memory_mib": round(memory.get("peak_bytes_in_use", 0) / 2**20) or None,
        "largest_r_hat": round(float(posterior.gate.table["r_hat"].max()), 3),
        "responses": posterior.record["data"]["responses"],
        "draws": arguments.draws,
        "versions": posterior.record["versions"],
    }


def in_process(platform: str) -> dict[str, object] | None:
    """The same on one platform, in a process of its own; nothing if JAX has no such platform."""
    environment = {**os.environ, "JAX_PLATFORMS": platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, __file__, *sys.argv[1:], "--single"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"no fit on {platform}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--queries", type=int, default=600)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--single", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.single:
        print(json.dumps(one_fit(arguments)))
        return
    results = {platform: in_process(platform) for platform in ("cuda", "cpu")}
    for platform, result in results.items():
        if result:
            print(
                f"{platform}: {result['device']}, {result['seconds']} s, peak memory {result['peak_memory_mib']} MiB"
            )
    gpu, cpu = results["cuda"], results["cpu"]
    if not gpu or not cpu:
        print("There is no GPU that JAX can use here, so there is no ratio.")
        return
    ratio = float(str(cpu["seconds"])) / float(str(gpu["seconds"]))
    print(f"CPU / GPU wall time: {ratio:.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"gpu": gpu, "cpu": cpu, "cpu_over_gpu": ratio}) + "\n")


if __name__ == "__main__":
    main()
