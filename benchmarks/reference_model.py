"""Make the model that ships: zeroeval and llmrouter fitted jointly, judged, thinned, with its card.

    .venv/bin/python benchmarks/reference_model.py --data-root ../shared/data --output models

writes models/reference, or models/zeroeval and models/llmrouter if the joint fit fails the convergence gate or predicts worse.
Complete fits stay in runs/reference and are not made again: interrupt and repeat at will.
"""

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from provenance import git

from bayes_irt_router.data.canonical import read_dataset
from bayes_irt_router.data.encoder import Encoder
from bayes_irt_router.data.linking import read_linked_llms
from bayes_irt_router.evaluation.link_checks import sample_queries
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.report.reference_model import ReferenceSettings, build_reference, linked_data

HERE = Path(__file__).parent
ORIGIN = {
    "zeroeval": "per-response result files of the ZeroEval evaluation (Apache-2.0), scored with its own answer matching.",
    "llmrouter": "the default routing data of LLMRouter; output tokens were not counted.",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-root", type=Path, required=True, help="folder that holds zeroeval and llmrouter"
    )
    parser.add_argument("--output", type=Path, default=HERE.parent / "models")
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs" / "reference")
    parser.add_argument("--traits", type=int, default=3)
    parser.add_argument("--draws", type=int, default=NUTS().draws)
    parser.add_argument("--tune", type=int, default=NUTS().tune)
    parser.add_argument("--chains", type=int, default=NUTS().chains)
    parser.add_argument(
        "--joint-draws", type=int, default=None, help="of the joint fit; by default as many as of the others"
    )
    parser.add_argument(
        "--joint-target-accept",
        type=float,
        default=None,
        help="acceptance rate of the joint fit; by default that of large banks",
    )
    parser.add_argument("--landmarks", type=int, default=400)
    parser.add_argument("--kept-draws", type=int, default=200, help="draws that ship")
    parser.add_argument(
        "--check-queries", type=int, default=1200, help="of the checks of the link; 0 leaves them out"
    )
    parser.add_argument(
        "--check-draws", type=int, default=300, help="warm-up and kept draws of a chain there"
    )
    parser.add_argument(
        "--queries", type=int, default=None, help="only a sample of so many queries, to try it out"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    linked = read_linked_llms(HERE / "linked_llms.json")
    sources = {name: read_dataset(arguments.data_root / name) for name in ORIGIN}
    data, shared = linked_data(sources, linked, Encoder())
    if arguments.queries is not None:
        data = sample_queries(data, arguments.queries, arguments.seed)
    sampler = NUTS(draws=arguments.draws, tune=arguments.tune, chains=arguments.chains)
    settings = ReferenceSettings(
        MIRT(traits=arguments.traits),
        sampler,
        replace(
            sampler,
            draws=arguments.joint_draws or arguments.draws,
            target_accept=arguments.joint_target_accept,
        ),
        kept_draws=arguments.kept_draws,
        landmarks=arguments.landmarks,
        check_sampler=NUTS(draws=arguments.check_draws, tune=arguments.check_draws, chains=arguments.chains),
        check_queries=arguments.check_queries,
        seed=arguments.seed,
    )
    folders = build_reference(
        data,
        shared,
        linked,
        settings,
        output=arguments.output,
        runs=arguments.runs,
        origin=ORIGIN,
        command=_command(),
        commit=git("rev-parse", "--short", "HEAD"),
    )
    for folder in folders:
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{folder}: {size / 1e6:.1f} MB")
        print((folder / "README.md").read_text(encoding="utf-8"))
    return 0


def _command() -> str:
    """What was typed, with paths as they are from the repository, because a card does not name folders of one machine."""
    root = HERE.parent
    words = [os.path.relpath(word, root) if os.path.isabs(word) else word for word in sys.argv]
    return f".venv/bin/python {shlex.join(words)}"


if __name__ == "__main__":
    sys.exit(main())
