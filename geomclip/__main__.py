"""`python -m geomclip`, so that `torchrun -m geomclip train` works."""

from geomclip.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
