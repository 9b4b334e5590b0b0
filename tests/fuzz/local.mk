# see tests/fuzz
