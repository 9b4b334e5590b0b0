# see tests/bench
