EXTRA_DIST += \
    deploy/packages.sh \
    deploy/quickstart \
    deploy/demo/app.py \
    deploy/demo/quickstart.py \
    deploy/demo/runtimes.py \
    deploy/demo/server.py \
    deploy/demo/traffic.py
