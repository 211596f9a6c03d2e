"""The checkout's commands: the local stack, the whole chain, decisions and rollback."""

import sys
from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer

from stack.render_commands import render_app

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(render_app, name="render")

Model = Annotated[str | None, typer.Option(help="table of headgate.toml; the only one if there is one, else `replies`", show_default=False)]
ReleaseId = Annotated[str, typer.Argument(help="release id or the beginning of one (see `headgate status`)")]
Who = Annotated[str, typer.Option("--as", help="who decides", envvar="APPROVER", prompt="who")]
Why = Annotated[str, typer.Option("--reason", help="why", envvar="REASON", prompt="why")]


def say(line: str) -> None:
    """Print a line at once."""
    typer.echo(line)
    sys.stdout.flush()


def chosen_model(model: str | None) -> str:
    """The model that is meant."""
    from headgate.settings import load_settings

    known = list(load_settings().models)
    return model or (known[0] if len(known) == 1 else "replies")


def connect_to_stack() -> None:
    """Point this process at the running stack, before anything imports Prefect."""
    from headgate.settings import load_settings
    from stack.services import connect

    connect(load_settings())


@app.command()
def up() -> None:
    """Start the local stack and deploy the flows of prefect.yaml. Repeating is harmless.

    Prefect server and worker, MLflow and the evidence gateway run on loopback; all state is under .headgate/.
    """
    from stack.bring_up import bring_up

    addresses = bring_up(say)
    say(f"Prefect UI  {addresses.prefect}\nMLflow      {addresses.mlflow}\nevidence    {addresses.gateway}")


@app.command()
def stop() -> None:
    """Stop every process of the stack, endpoints included. Nothing is lost: `headgate up` continues where it was."""
    from headgate.settings import load_settings
    from stack import services

    for line in services.stop(load_settings()):
        say(f"found: {line}")
    say("the stack is stopped; its state is kept in .headgate/")


@app.command()
def status(
    model: Model = None,
    watch: Annotated[bool, typer.Option("--watch", help="show it again every two seconds, until Ctrl-C")] = False,
) -> None:
    """Show what runs, which release is live where, how a rollout goes, and what waits for whom."""
    from stack.status import describe, watched

    for lines in watched(model) if watch else [describe(model)]:
        say(("\033[2J\033[H" if watch else "") + "\n".join(lines))  # clears the terminal, and goes to its top


@app.command()
def run(
    model: Model = None,
    approver: Annotated[str | None, typer.Option(envvar="APPROVER", help="approve unattended as this person")] = None,
    reason: Annotated[str | None, typer.Option(envvar="REASON", help="why; needed with --approver")] = None,
    started_by: Annotated[str | None, typer.Option(help="who starts this, for the release record", envvar="USER")] = None,
) -> None:
    """Do the whole chain: stack, annotations, training, tests, approval, rollout. Does only what is left to do.

    With a terminal it asks for the approval; `--approver` and `--reason` answer it unattended;
    with neither it leaves the release waiting and says how to approve.

        headgate run --model replies --approver me@example.com --reason "first release"
    """
    if bool(approver) != bool(reason):
        raise typer.BadParameter("expected approver and reason together: --approver WHO --reason WHY (or APPROVER=... REASON=...)")
    from stack.bring_up import bring_up

    addresses = bring_up(say)
    from stack.whole_chain import Approver, run_chain

    unattended = Approver(approver, reason) if approver and reason else None
    raise typer.Exit(run_chain(chosen_model(model), f"person:{started_by or approver or getuser()}", unattended, addresses, say))


@app.command()
def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="JSON Lines, CSV, Parquet, exports of Label Studio or Argilla, or folders of e-mail: docs/annotations.md", exists=True
        ),
    ],
    model: Model = None,
) -> None:
    """Land annotation files and merge them into a data version; bad rows go to quarantine with the reason.

    \b
    headgate ingest examples/replies/batch1.jsonl
    """
    connect_to_stack()
    from stack.whole_chain import ingest_files

    raise typer.Exit(ingest_files(chosen_model(model), files, say))


@app.command()
def gateway(
    host: Annotated[str | None, typer.Option(help="address to listen on; else gateway.host of headgate.toml", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="port; else gateway.port of headgate.toml; 0: any", show_default=False)] = None,
) -> None:
    """Take annotations that Label Studio, Argilla or your own tools post: docs/arrivals.md. Runs until it is stopped.

    Needs HEADGATE_WEBHOOK_SECRETS in the environment, and PREFECT_API_URL to set off the ingest at once.

    \b
    HEADGATE_WEBHOOK_SECRETS=$(openssl rand -hex 32) headgate gateway --port 4310
    """
    from stack.gateway_command import serve_gateway

    serve_gateway(host, port, say)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="name of the model, lower case, digits and dashes")],
    file: Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet with a text and a label column", exists=True, dir_okay=False)],
    text: Annotated[str, typer.Option(help="column with the text")] = "text",
    label: Annotated[str, typer.Option(help="column with the label")] = "label",
    regression_share: Annotated[
        float, typer.Option(help="share of the rows that is frozen as the regression set", min=0.05, max=0.5)
    ] = 0.2,
) -> None:
    """Add a model of your own: writes its table into headgate.toml and splits the file once.

    \b
    headgate new tickets tickets.csv --text body --label queue
    headgate run --model tickets
    """
    from stack.new_model import add_model

    for line in add_model(name, file, text, label, regression_share):
        say(line)


@app.command()
def approve(
    release: ReleaseId,
    who: Who,
    reason: Why,
    key: Annotated[
        Path | None,
        typer.Option(help="sign it with this SSH key, or with the ssh-agent's where this is its .pub file", show_default=False),
    ] = None,
) -> None:
    """Approve a release that waits, and follow its rollout. With --key the approval is signed: docs/approval.md.

    \b
    headgate approve 3f9a1c --as me@example.com --reason "recall of referral is up"
    headgate approve 3f9a1c --as me@example.com --reason "recall of referral is up" --key ~/.ssh/id_ed25519
    """
    if key is not None:
        from stack.signing import sign_approval

        if not sign_approval(release, who, reason, key, say):
            raise typer.Exit(0)
    connect_to_stack()
    from stack.whole_chain import decide

    raise typer.Exit(decide(release, "approve", who, reason, say))


@app.command()
def reject(release: ReleaseId, who: Who, reason: Why) -> None:
    """Reject a release that waits; the champion stays.

    \b
    headgate reject 3f9a1c --as me@example.com --reason "flips on unsubscribe look wrong"
    """
    connect_to_stack()
    from stack.whole_chain import decide

    raise typer.Exit(decide(release, "reject", who, reason, say))


@app.command()
def retest(release: ReleaseId, who: Annotated[str, typer.Option("--as", help="who asks for it")] = getuser()) -> None:
    """Test a release's bundle again against today's champion, without training, and ask for a new approval."""
    connect_to_stack()
    from stack.whole_chain import retest as retest_release

    raise typer.Exit(retest_release(release, f"person:{who}", say))


@app.command()
def rollback(
    reason: Why,
    who: Annotated[str, typer.Option("--as", help="who decides")] = getuser(),
    to: Annotated[str | None, typer.Option(help="release to go back to; the one before the champion if left out")] = None,
    model: Model = None,
) -> None:
    """Put an earlier release back everywhere, and prove that it answers.

    While another release is rolled out beside the champion, --to says which is meant: the champion itself ends the rollout.

    \b
    headgate rollback --reason "wrong labels for Dutch replies"
    headgate rollback --to 3f9ac1 --reason "ends the A/B test"
    """
    connect_to_stack()
    from stack.whole_chain import roll_back

    raise typer.Exit(roll_back(chosen_model(model), who, reason, to, say))


@app.command()
def deploy(
    bundle: Annotated[Path, typer.Option(help="bundle folder, as `headgate wrap` writes it", exists=True, file_okay=False)],
    endpoint: Annotated[str, typer.Option(help="environment, such as staging")],
    target: Annotated[str, typer.Option(help="where endpoints are hosted")] = "local",
    model: Model = None,
) -> None:
    """Serve a bundle on an endpoint by hand, with all its traffic. Production is refused: that takes a release.

    \b
    headgate deploy --bundle out/bundle --target local --endpoint staging
    """
    from stack.by_hand import deploy_bundle

    say(deploy_bundle(chosen_model(model), bundle, endpoint, target))


@app.command(context_settings={"allow_extra_args": True})
def image(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="bundle folder, as `headgate wrap` writes it", exists=True, file_okay=False)],
    repository: Annotated[str, typer.Option(help="where it is pushed to, without tag: registry.example/replies")],
    insecure: Annotated[bool, typer.Option("--insecure", help="the registry speaks HTTP (with buildah)")] = False,
) -> None:
    """Build the serving image of a bundle, push it, and print it by digest: what `headgate render` wants as --image.

    Options after -- go to the build: a private index, a certificate, another base (docs/bundle.md).

    \b
    headgate image out/bundle --repository registry.example/replies
    headgate image out/bundle --repository registry.example/replies -- --secret id=pip,src=pip.conf
    """
    from deployments.images import build_and_push

    say(build_and_push(bundle, repository, context.args, insecure))


@app.command()
def triggers(
    model: Annotated[str | None, typer.Option(help="table of headgate.toml; all of them if left out", show_default=False)] = None,
    count: Annotated[int, typer.Option("--last", help="decisions to show", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="a JSON list, one object a model")] = False,
) -> None:
    """Show whether new rows set off a training, what is missing until the next one, and what was decided before and why.

    \b
    headgate triggers
    headgate triggers --model replies --last 50
    """
    from stack.triggers import show_triggers

    raise typer.Exit(show_triggers(model, count, as_json, say))


@app.command()
def demo(
    step: Annotated[bool, typer.Option("--step", help="wait for Enter between the acts")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave the demo's stack running at the end, to look around")] = False,
    again: Annotated[bool, typer.Option("--again", help="start from nothing, where an earlier demo was cut off")] = False,
    home: Annotated[Path, typer.Option(help="the demo's own home; your stack and its state stay as they are")] = Path(".headgate/demo"),
) -> None:
    """Tell the story of a few releases on real parts, and write it on one page: docs/demo.md.

    A first release; annotations that set off a training; a better model that goes live; a poisoned batch, a worse model and a slow
    one that are stopped, each at another gate; a rollback by hand. Some ten minutes on two idle cores. A demo that was cut off
    goes on with the act it was in when it is run again; one that came to its end starts from nothing.

    \b
    headgate demo
    headgate demo --step --keep
    """
    from stack.demo.telling import tell_story

    raise typer.Exit(tell_story(home, step, keep, again, say))


@app.command()
def audit(
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object: entries and faults")] = False,
) -> None:
    """Show who decided what, when, why and over which digests; fails if an entry or a signature is not what it should be.

    \b
    headgate audit --model replies
    headgate audit --json
    """
    from stack.audit import show_audit

    raise typer.Exit(show_audit(model, as_json, say))
