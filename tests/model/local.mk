# The epoch protocol in small (explore), and random histories against the daemon: tests/run model.
check_PROGRAMS += tests/model/explore
tests_model_explore_SOURCES = tests/model/explore.c tests/model/explore.h \
    tests/model/explore_cuts.c tests/model/explore_names.c tests/model/explore_protocol.c
EXTRA_DIST += tests/model/seeds/add-tried-again.json
EXTRA_DIST += tests/model/attack tests/model/clients.py tests/model/cutter.py \
    tests/model/histories.py tests/model/judge.py tests/model/mutants.py tests/model/talk.py \
    tests/model/test_histories.py tests/model/test_protocol.py tests/model/world.py
