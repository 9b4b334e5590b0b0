# Python tests of the real daemon with real servers and clients: harness.py says how they are run.
EXTRA_DIST += \
    tests/run \
    tests/integration/certificates.py \
    tests/integration/control_talk.py \
    tests/integration/harness.py \
    tests/integration/packets.py \
    tests/integration/prometheus.py \
    tests/integration/test_binary.py \
    tests/integration/test_binary_servers.py \
    tests/integration/logins.py \
    tests/integration/test_auth.py \
    tests/integration/test_identity.py \
    tests/integration/test_login_storms.py \
    tests/integration/test_server_login.py \
    tests/integration/test_cache_pressure.py \
    tests/integration/test_coherence_counters.py \
    tests/integration/test_control.py \
    tests/integration/test_control_process.py \
    tests/integration/test_epoch_changes.py \
    tests/integration/test_explain.py \
    tests/integration/test_epoch_races.py \
    tests/integration/test_exporters.py \
    tests/integration/test_failures.py \
    tests/integration/test_journal.py \
    tests/integration/test_fleet.py \
    tests/integration/test_flush.py \
    tests/integration/test_generations_rollout.py \
    tests/integration/test_guard.py \
    tests/integration/clients/agent.py \
    tests/integration/clients/matrix.php \
    tests/integration/clients/matrix.pl \
    tests/integration/clients/matrix.py \
    tests/integration/clients/matrix.rb \
    tests/integration/clients/traffic.py \
    tests/integration/clients/values.py \
    tests/integration/malloc_count.c \
    tests/integration/test_allocations.py \
    tests/integration/test_client_matrix.py \
    tests/integration/test_clients.py \
    tests/integration/test_harness.py \
    tests/integration/test_end_to_end_fuzz.py \
    tests/integration/test_epoch_binary.py \
    tests/integration/test_epoch_meta.py \
    tests/integration/test_epoch_text.py \
    tests/integration/test_epoch_text_servers.py \
    tests/integration/test_hostile_binary.py \
    tests/integration/test_hostile_meta.py \
    tests/integration/test_hostile_servers.py \
    tests/integration/test_meta.py \
    tests/integration/test_metrics.py \
    tests/integration/test_names.py \
    tests/integration/test_slow_clients.py \
    tests/integration/test_placement.py \
    tests/integration/test_lookups.py \
    tests/integration/test_observe.py \
    tests/integration/test_random_mix.py \
    tests/integration/test_rollout.py \
    tests/integration/test_scale.py \
    tests/integration/test_servers.py \
    tests/integration/test_tls.py \
    tests/integration/test_tls_servers.py \
    tests/integration/test_web_load.py

# Not a program's flags: what is preloaded into a daemon under test is not itself sanitized.
check_DATA = tests/integration/malloc_count.so
CLEANFILES += tests/integration/malloc_count.so
tests/integration/malloc_count.so: tests/integration/malloc_count.c
	$(AM_V_CC)$(MKDIR_P) tests/integration && \
	    $(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -fPIC -shared -o $@ $(srcdir)/tests/integration/malloc_count.c
