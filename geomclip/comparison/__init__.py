"""The parts of `geomclip.compare`: the plan, the processes that train, the measurements."""
