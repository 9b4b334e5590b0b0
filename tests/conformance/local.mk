# see tests/conformance
