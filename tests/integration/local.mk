# see tests/integration
