noinst_LIBRARIES += librollout.a
librollout_a_SOURCES =
