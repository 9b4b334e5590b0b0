EXTRA_DIST += \
    deploy/packages.sh \
    deploy/demo/runtimes.py
