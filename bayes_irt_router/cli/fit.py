"""`birt fit`: from responses to a saved, judged posterior."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bayes_irt_router.cli.border import Context, print_json, tell, terminal
from bayes_irt_router.cli.kinds import check_options
from bayes_irt_router.cli.mirt_settings import mirt_settings
from bayes_irt_router.cli.nirt_training import nirt_settings, train_nirt, training_place
from bayes_irt_router.cli.options import (
    DATA,
    MODEL,
    OUTPUT,
    SAMPLING,
    TEXTS,
    AssumedTokens,
    CacheFolder,
    EncoderName,
    Json,
    Seed,
)
from bayes_irt_router.errors import InputError

if TYPE_CHECKING:
    from bayes_irt_router.inference.posterior import Posterior


def fit(
    context: Context,
    output: Annotated[
        Path,
        typer.Option("--output", metavar="DIR", help="Folder of the model to write.", rich_help_panel=OUTPUT),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Folder with responses, queries and llms.", rich_help_panel=DATA
        ),
    ] = None,
    responses: Annotated[
        Path | None,
        typer.Option(
            "--responses", metavar="FILE", help="Responses, instead of --data.", rich_help_panel=DATA
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option("--queries", metavar="FILE", help="Queries, with --responses.", rich_help_panel=DATA),
    ] = None,
    llms: Annotated[
        Path | None,
        typer.Option(
            "--llms", metavar="FILE", help="LLMs and prices, with --responses.", rich_help_panel=DATA
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME", help="Fit this split (default: everything).", rich_help_panel=DATA
        ),
    ] = None,
    assume_output_tokens: AssumedTokens = None,
    kind: Annotated[
        Literal["mirt", "nirt"],
        typer.Option(
            "--kind",
            help="Sort of model: mirt samples an item response model, nirt trains networks in its place.",
            rich_help_panel=MODEL,
        ),
    ] = "mirt",
    traits: Annotated[
        int,
        typer.Option("--traits", metavar="D", help="Dimensions of ability, 1 to 8.", rich_help_panel=MODEL),
    ] = 3,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            "--prior",
            metavar="NAME=VALUE",
            help="Change a prior scale; may be repeated.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            "--covariate",
            metavar="NAME",
            help="Regress ability on release_date, log_parameters or log_price; may be repeated.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    families: Annotated[
        bool, typer.Option("--families", help="LLMs of one family share an effect.", rich_help_panel=MODEL)
    ] = False,
    abilities: Annotated[
        Path | None,
        typer.Option(
            "--abilities",
            metavar="FILE",
            help="nirt: a table of ability and description (default: 25 abilities).",
            rich_help_panel=MODEL,
        ),
    ] = None,
    relevance: Annotated[
        Path | None,
        typer.Option(
            "--relevance",
            metavar="FILE",
            help="nirt: a table of query_id and ability, with weight and cluster if you like: what queries ask for "
            "(default: by the abilities' descriptions).",
            rich_help_panel=MODEL,
        ),
    ] = None,
    networks: Annotated[
        int,
        typer.Option("--networks", metavar="N", help="nirt: networks trained.", rich_help_panel=SAMPLING),
    ] = 4,
    passes: Annotated[
        int | None,
        typer.Option(
            "--passes",
            metavar="N",
            help="nirt: passes over the queries, at most (default: 40, and more in a small bank).",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    step_size: Annotated[
        float,
        typer.Option(
            "--step-size",
            metavar="X",
            help="nirt: of the optimiser, at its largest; lower it if training diverges.",
            rich_help_panel=SAMPLING,
        ),
    ] = 0.02,
    landmarks: Annotated[
        int,
        typer.Option("--landmarks", metavar="N", help="Landmarks of the feature map.", rich_help_panel=MODEL),
    ] = 400,
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", help="Draws of each chain.", rich_help_panel=SAMPLING)
    ] = 2000,
    tune: Annotated[
        int,
        typer.Option("--tune", metavar="N", help="Warm-up draws of each chain.", rich_help_panel=SAMPLING),
    ] = 500,
    chains: Annotated[
        int,
        typer.Option("--chains", metavar="C", help="Chains; the gate asks for 4.", rich_help_panel=SAMPLING),
    ] = 4,
    target_accept: Annotated[
        float | None,
        typer.Option(
            "--target-accept",
            metavar="P",
            help="Acceptance rate that steps are tuned to (default: by the number of answers); raise it if draws "
            "diverge.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    seed: Seed = 0,
    sampler: Annotated[
        Literal["numpyro", "nutpie"],
        typer.Option("--sampler", help="NUTS of which library.", rich_help_panel=SAMPLING),
    ] = "numpyro",
    encoder: EncoderName = None,
    cache_dir: CacheFolder = None,
    keep_texts: Annotated[
        bool,
        typer.Option(
            "--keep-texts", help="Keep the queries' texts in the model folder.", rich_help_panel=TEXTS
        ),
    ] = False,
    json: Json = False,
) -> None:
    """`birt fit`."""
    _check_sources(data, responses, queries, llms)
    check_options(context, kind)
    if kind == "nirt":
        trained, training, labels = nirt_settings(abilities, relevance, networks, passes, step_size)
    else:
        model, settings = mirt_settings(
            traits, prior or [], covariate or [], families, draws, tune, chains, target_accept, sampler
        )

    from bayes_irt_router.data.canonical import read_dataset, select_split
    from bayes_irt_router.data.encoder import Encoder
    from bayes_irt_router.data.featurize import featurize
    from bayes_irt_router.data.rehearsal import rehearse_directory
    from bayes_irt_router.inference.fitting import fit as sample
    from bayes_irt_router.inference.storage import RECORD

    rehearse_directory(output, replaces=RECORD)  # now rather than after ten minutes of sampling
    kept = training_place(output) if kind == "nirt" else None
    dataset = read_dataset(data, responses=responses, queries=queries, llms=llms)
    if split is not None:
        dataset = select_split(dataset, split)
    text_encoder = Encoder(encoder) if encoder else Encoder()
    dataset = featurize(dataset, text_encoder, cache_dir)
    if kind == "nirt":
        posterior = train_nirt(
            trained,
            training,
            dataset,
            text_encoder,
            cache_dir,
            labels,
            kept,
            seed=seed,
            landmarks=landmarks,
            assume_output_tokens=assume_output_tokens,
            keep_texts=keep_texts,
        )
    else:
        posterior = sample(
            model,
            dataset,
            settings,
            seed=seed,
            landmarks=landmarks,
            assume_output_tokens=assume_output_tokens,
            keep_texts=keep_texts,
        )
    _save(posterior, output, kept)
    _report(posterior, output, json)


def _check_sources(
    data: Path | None, responses: Path | None, queries: Path | None, llms: Path | None
) -> None:
    """Data come from a folder or from files, not from both."""
    files = {"--responses": responses, "--queries": queries, "--llms": llms}
    given = [name for name, path in files.items() if path is not None]
    if data is not None and given:
        raise InputError(
            f"Both --data and {', '.join(given)} are given; name the folder or the files, not both."
        )
    if data is None and (responses is None or queries is None):
        raise InputError(
            "No data are named: add --data DIR, a folder with responses, queries and llms, or the files with "
            "--responses, --queries and --llms."
        )


def _save(posterior: "Posterior", output: Path, training: Path | None) -> None:
    """Save, and only then remove the file from which an interrupted training would have gone on."""
    from bayes_irt_router.inference.storage import save

    try:
        save(posterior, output)
    except (InputError, OSError) as error:
        mend = "choose another folder, and fit again"
        if training is not None:
            mend = f"repeat the command, which goes on from {training}"
        raise InputError(
            f"The model was fitted, but it could not be saved in {output} ({error}); make room there, or {mend}."
        ) from error
    if training is not None:
        training.unlink(missing_ok=True)


def _report(posterior: "Posterior", output: Path, json: bool) -> None:
    from bayes_irt_router.inference.answer_length_convergence import answer_length_convergence
    from bayes_irt_router.report.json_text import json_text
    from bayes_irt_router.report.model_summary import model_json
    from bayes_irt_router.report.tables import gate_table

    if not posterior.gate.passed and posterior.gate.training:
        tell(
            "warning",
            "The training did not come to rest: the model is saved, and marked; raise --passes, or lower --step-size if nothing got "
            "better.",
        )
    elif not posterior.gate.passed:
        tell(
            "warning",
            "The draws fail the convergence gate: the model is saved, and marked; raise --tune and --draws, and "
            "--target-accept if draws diverged.",
        )
    lengths = answer_length_convergence(posterior)
    if lengths is not None and not lengths.passed:
        tell("warning", lengths.verdict)
    if json:
        print_json(json_text(model_json(posterior)), None, shown=True)
        return
    console = terminal()
    record = posterior.record
    console.print(gate_table(posterior.gate), "")
    if lengths is not None and lengths.passed:
        console.print(lengths.verdict, markup=False)
    for note in record["cost"]["notes"]:
        console.print(f"Cost: {note}", markup=False)
    console.print(
        f"Fitted {record['data']['responses']:,} responses in {record['seconds']:,.0f} s "
        f"({record['device']}); the model is in {output}.\nNext: birt info --model {output}",
        markup=False,
        soft_wrap=True,
    )
