"""`headgate train` on several GPUs or machines: `torchrun --nproc-per-node N -m headgate.model.train`, with the same options.

Every process takes its share of each batch, so that N processes train as one would. The first one writes and prints.
"""

import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from tempfile import TemporaryDirectory

from headgate import cli
from headgate.model.compute import joined


def main(options: list[str]) -> None:
    """Run `headgate train` in this process, alone or as one of torchrun's; exit status 1 after an error."""
    with joined() as rank:
        if rank == 0:
            _train(options)
        else:
            _train_beside_the_first(options)


def _train(options: list[str]) -> None:
    sys.argv = ["headgate", "train", *options]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise


def _train_beside_the_first(options: list[str]) -> None:
    """The same training, in which whatever the first process writes, tells and logs is dropped."""
    os.environ.pop("MLFLOW_RUN_ID", None)
    told = StringIO()
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(told):
        try:
            _train([*options, "--out", f"{folder}/out", "--checkpoints", f"{folder}/checkpoints"])
        except BaseException:
            sys.__stderr__.write(told.getvalue())  # type: ignore[union-attr]  # a process of torchrun's has one
            raise


if __name__ == "__main__":
    main(sys.argv[1:])
