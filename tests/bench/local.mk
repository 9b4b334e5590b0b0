# The programs of the side-by-side measurement (doc/performance.md). `make bench-programs` builds
# them, `make check` too, so that they keep compiling; tests/bench/run measures with them.
BENCH_COMMON = tests/bench/bench.c tests/bench/bench.h
bench_programs = \
    tests/bench/httpload \
    tests/bench/httporigin \
    tests/bench/mcload \
    tests/bench/mux \
    tests/bench/relay
check_PROGRAMS += $(bench_programs)
EXTRA_DIST += tests/bench/run tests/bench/tls tests/bench/measure.py tests/bench/peers.py

tests_bench_mcload_SOURCES = tests/bench/mcload.c tests/bench/load.c tests/bench/load.h $(BENCH_COMMON)
tests_bench_httpload_SOURCES = tests/bench/httpload.c tests/bench/load.c tests/bench/load.h $(BENCH_COMMON)
tests_bench_httporigin_SOURCES = tests/bench/httporigin.c $(BENCH_COMMON)
tests_bench_relay_SOURCES = tests/bench/relay.c $(BENCH_COMMON)
tests_bench_mux_SOURCES = tests/bench/mux.c $(BENCH_COMMON)

.PHONY: bench-programs
bench-programs: $(bench_programs)
