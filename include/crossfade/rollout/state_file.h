/*
 * The rollout's state as a file: state_dir/rollout.json, one JSON object.
 *
 *   { "format": 1,
 *     "rollout": "python3", "from": "py2", "to": "py3",   what the state belongs to
 *     "salt": "<32 hexadecimal digits>",                  a fingerprint, see rollout_origin
 *     "state": "running", "stage": "canary", "reach": 2, "percent": 0.1,
 *     "generation": 7, "activation": 1,
 *     "stage_since": 1764075600000000, "changed": 1764075600000000,   microseconds since 1970, UTC
 *     "reason": "", "by": "uid 0 (pid 123)" }
 *
 * All members are there, once, and no other; a reader that meets anything else refuses the file.
 */
#ifndef CROSSFADE_ROLLOUT_STATE_FILE_H
#define CROSSFADE_ROLLOUT_STATE_FILE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/rollout/rollout.h"

#include <stddef.h>

#define STATE_FILE "rollout.json"
#define STATE_FILE_MAX 16384u /* bytes */
#define STATE_NAME 72u        /* room for the name of a rollout, arm or stage */

/* What a state was made for. With another origin its buckets would be other users. */
struct rollout_origin {
    char name[STATE_NAME];
    char from[STATE_NAME];
    char to[STATE_NAME];
    /* The first 16 bytes of HMAC-SHA256(salt, "crossfade salt fingerprint 1"), in hexadecimal. */
    char salt[33];
};

void rollout_origin_of(const struct config *config, struct rollout_origin *out);

struct saved_state {
    struct rollout_origin origin;
    /* `stage` is not in the file: it is the index of stage_name in the configuration. */
    struct rollout_status status;
    /* The last stage whose allow list counts, -1: none. It is status.stage, unless that is gone. */
    int reach;
};

/* False with half a sentence in error[]: "has no member generation". */
bool state_parse(struct slice text, struct saved_state *out, char *error,
                 size_t error_size) MUST_CHECK;
/* As a heap string, or NULL without memory. */
char *state_print(const struct saved_state *state);

enum state_found {
    STATE_FOUND,
    STATE_ABSENT,
    STATE_BROKEN /* half a sentence in error[] */
};

/* `folder` is a descriptor of state_dir. */
enum state_found state_file_load(int folder, struct saved_state *out, char *error,
                                 size_t error_size) MUST_CHECK;

enum state_written {
    STATE_WRITTEN,     /* and on disk */
    STATE_NOT_WRITTEN, /* the file is as it was; half a sentence in error[] */
    STATE_IN_DOUBT     /* the file is new, but its folder could not be fsynced */
};

/* Writes a new file beside the old one, fsyncs, renames it over that and fsyncs the folder. */
enum state_written state_file_save(int folder, const struct saved_state *state, char *error,
                                   size_t error_size) MUST_CHECK;

#endif
