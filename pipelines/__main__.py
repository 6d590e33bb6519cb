"""`python -m pipelines`: the command line, as `calls`."""

from pipelines.cli.main import main

if __name__ == "__main__":
    main()
