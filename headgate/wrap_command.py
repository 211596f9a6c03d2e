"""`headgate wrap`: from a saved classifier to a bundle, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.settings import load_settings

if TYPE_CHECKING:
    from headgate.model.filters import FilterConfig

Classifier = Annotated[Path, typer.Option(help="folder that `headgate train` wrote", exists=True, file_okay=False, show_default=False)]


def wrap(
    classifier: Classifier,
    out: Annotated[Path, typer.Option(help="folder for the bundle", file_okay=False, show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(help="model of headgate.toml whose filters and private packages are taken; the classifier's filters if left out"),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            help="rows it was trained on, to serve in eight bits, checked against fp32; in fp32 if left out", exists=True, dir_okay=False
        ),
    ] = None,
    private_package: Annotated[
        list[Path] | None, typer.Option(help="folder or wheel that goes into the bundle as a wheel; may be given again", exists=True)
    ] = None,
) -> None:
    """Wrap a saved classifier as a bundle that serves without torch.

    \b
    headgate wrap --classifier out/classifier --out out/bundle --rows examples/replies/day0.jsonl
    headgate wrap --classifier out/classifier --out out/bundle --model replies
    """
    from headgate.model.private_packages import unused_packages
    from headgate.model.saved import read_record
    from headgate.model.training_run import card_of, labelled_texts, provenance_of
    from headgate.model.wrapping import engine_line
    from headgate.model.wrapping import wrap as wrap_classifier

    read_record(classifier)
    filters = _filters(classifier, model)
    packages = [*(load_settings().model(model).bundle.private_packages if model else ()), *(private_package or ())]
    bundle = wrap_classifier(
        classifier,
        out,
        filters,
        provenance_of(classifier),
        card_of(classifier),
        private_packages=packages,
        rows=labelled_texts(rows, filters) if rows else None,
    )
    for name in unused_packages(bundle.path / "wheels", filters):
        told = f"name its class under [[models.{model or 'NAME'}.filters.custom]] and wrap with --model {model or 'NAME'}"
        typer.echo(f"private package {name} is used by no filter; {told}", err=True)
    typer.echo(engine_line(bundle))
    typer.echo(f"bundle {bundle.digest} in {out}")
    if (signing := load_settings().signing).secret_key:
        from headgate.model.signing import sign_bundle

        typer.echo(f"signed: {sign_bundle(out, signing)}")
    typer.echo(f"next: headgate serve {out}")


def _filters(classifier: Path, model: str | None) -> FilterConfig:
    """Those of headgate.toml where a model is named, else those that the classifier was trained with."""
    from headgate.model.filters import FilterConfig
    from headgate.model.training_run import read_filters

    trained = read_filters(classifier)
    if model is None:
        return trained
    chosen = FilterConfig(**load_settings().model(model).filters.model_dump())
    if chosen.current_reply != trained.current_reply:
        told = f"current_reply is {str(chosen.current_reply).lower()} in [models.{model}.filters], and was not so in the training"
        typer.echo(f"{told}: the classifier is served other texts than it learnt from", err=True)
    return chosen
