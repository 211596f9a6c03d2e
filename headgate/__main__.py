"""The command `headgate`: `headgate serve` goes straight to the server, everything else to the command line's parser, which is slow."""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["serve"]:
        from headgate.serving.__main__ import main as serve

        sys.exit(serve(sys.argv[2:], program="headgate serve", name="headgate"))
    from headgate.cli import main_of_process as other

    other()


if __name__ == "__main__":
    main()
