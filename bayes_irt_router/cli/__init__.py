"""What people type: `birt`.

Nothing heavy is imported here, nor in the modules of this folder outside their functions: help comes at once.
"""

from typing import Annotated

import typer

from bayes_irt_router.cli.border import Border, examples
from bayes_irt_router.cli.calibrate import calibrate
from bayes_irt_router.cli.collect import collect
from bayes_irt_router.cli.convert import convert
from bayes_irt_router.cli.demo import demo
from bayes_irt_router.cli.diff import diff
from bayes_irt_router.cli.drift import drift
from bayes_irt_router.cli.evaluate import evaluate
from bayes_irt_router.cli.fit import fit
from bayes_irt_router.cli.frontier import frontier
from bayes_irt_router.cli.info import info
from bayes_irt_router.cli.llms import llms
from bayes_irt_router.cli.report import report
from bayes_irt_router.cli.route import route
from bayes_irt_router.cli.simulate import simulate
from bayes_irt_router.cli.stack import stack

app = typer.Typer(
    name="birt",
    cls=Border,
    help="Route each prompt to the right LLM with a Bayesian item response model that knows how sure it is.",
    epilog=examples(
        "birt demo --output runs/demo",
        "birt fit --data DIR --split train --output MODEL",
        'birt route "What is 17 * 23?"',
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"birt {version('bayes_irt_router')}")
        raise typer.Exit
    return wanted


@app.callback()
def _birt(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


app.command(
    help="Simulate, fit, check, evaluate and route: the main job on made-up data, in about two minutes.",
    epilog=examples("birt demo --output runs/demo"),
)(demo)
app.command(
    help="Write a benchmark of templated questions answered by simulated LLMs, and the truth behind it.",
    epilog=examples("birt simulate --output runs/bench --queries 600 --llms 20 --seed 0"),
)(simulate)
app.command(
    help="Turn another tool's data into responses, queries and llms.",
    epilog=examples(
        "birt convert results/bench --output DIR",
        "birt convert lm_eval_output --format lm-eval --metric exact_match,strict-match --output DIR",
        "birt convert data.jsonl --format py-irt --queries queries.csv --output DIR",
    ),
)(convert)
app.command(
    help="Send prompts to LLMs, score the replies, and write responses, queries and llms.",
    epilog=examples(
        "birt collect --prompts prompts.csv --llms openai/gpt-4o-mini,mistral/mistral-small-latest --budget-usd 2 --output DIR",
        "birt collect --prompts prompts.jsonl --llms llms.csv --score regex --pattern 'answer is (.+)' --output DIR",
        'birt collect --prompts prompts.csv --llms llms.csv --score command --command "python score.py" --output DIR',
    ),
)(collect)
app.command(
    help="Find the posterior of a model given responses, judge it, and save the model.",
    epilog=examples(
        "birt fit --data DIR --split train --output MODEL",
        "birt fit --kind nirt --data DIR --split train --output MODEL",
        "birt fit --responses r.csv --queries q.csv --traits 2 --prior difficulty_residual=1 --output MODEL",
    ),
)(fit)
app.command(
    help="Make one model of several that were fitted to the same data; it predicts with the mixture of their posteriors.",
    epilog=examples("birt stack MIRT NIRT --output MODEL"),
)(stack)
app.command(
    help="Choose an LLM for each prompt, and say why.",
    epilog=examples(
        'birt route "What is 17 * 23?"',
        'birt route "What is 17 * 23?" "Who wrote Faust?" --model MODEL --alpha 0.5',
        "birt route --input prompts.jsonl --model MODEL --json",
        "birt route --input prompts.parquet --model MODEL --output routes.parquet",
        'birt route "Prove it." --model MODEL --policy chance_constrained --option target=0.9 --explain',
        "cat prompts.txt | birt route --input - --model MODEL --output routes.json",
        "birt route --input prompts.jsonl --model MODEL --prices prices.csv --json",
    ),
)(route)
app.command(
    help="Score a model on unseen queries: prediction, calibration, and routing against simple choices.",
    epilog=examples(
        "birt evaluate --model MODEL --data DIR --split test",
        "birt evaluate --model MODEL --data DIR --split test --by-difficulty",
        "birt evaluate --model MODEL --data DIR --compare --output comparison.json",
    ),
)(evaluate)
app.command(
    help="Accuracy against cost over policies and alpha, with credible bands: JSON and a picture.",
    epilog=examples("birt frontier --model MODEL --data DIR --split test --output frontier.png"),
)(frontier)
app.command(
    help="Place a new LLM from few, well-chosen answers, and keep it in a new model folder.",
    epilog=examples(
        "birt calibrate --model MODEL --llm NAME --plan 20 --queries queries.csv",
        "birt calibrate --model MODEL --llm NAME --answers answers.csv --output MODEL2",
        'birt calibrate --model MODEL --llm NAME --command "python ask.py" --budget 20 --output MODEL2',
    ),
)(calibrate)
app.command(
    help="Check whether a known LLM's recent answers still agree with the model.",
    epilog=examples("birt drift --model MODEL --llm NAME --answers recent.csv"),
)(drift)
app.add_typer(llms)
app.command(
    help="Tell what changed between two models: LLMs, abilities, prices, and decisions on what both have fitted.",
    epilog=examples("birt diff OLD NEW", "birt diff OLD NEW --alpha 0.5 --json"),
)(diff)
app.command(
    help="Tell what a model is: data, LLMs, priors, convergence, costs, versions.",
    epilog=examples("birt info --model MODEL"),
)(info)
app.command(
    help="Write one page about a model for a browser: convergence, abilities, who is best where, routing, single queries.",
    epilog=examples(
        "birt report --model MODEL --output report.html",
        "birt report --model MODEL --data DIR --split test --output report.html",
    ),
)(report)


def main() -> None:
    """Run `birt`."""
    app(prog_name="birt")
