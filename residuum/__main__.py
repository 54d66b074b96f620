"""Where the command starts: streams and signals are made ready before anything large loads."""

from .progress import make_ready


def main() -> None:
    """`residuum`, and `python -m residuum`."""
    with make_ready():
        from .cli import main as command
    command()


if __name__ == "__main__":
    main()
