# Samples. They are installed as documentation: an administrator's own file is never written over.
examplesdir = $(docdir)/examples
dist_examples_DATA = \
    conf/crossfade.yaml \
    conf/quickstart.yaml \
    conf/sidecar.yaml
