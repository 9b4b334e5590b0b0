# manual pages and documents
dist_man_MANS += \
    doc/crossfadectl.1 \
    doc/crossfade.yaml.5 \
    doc/crossfade.8

dist_doc_DATA += \
    doc/performance.md \
    doc/coherence.md \
    doc/rollout.md \
    doc/web-plane.md
