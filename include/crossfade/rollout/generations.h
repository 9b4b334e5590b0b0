/*
 * The generation of each arm's namespace: the number in its prefix. A new one makes every older
 * entry of the arm unreachable at once, without asking a server: this is what flush_all does here.
 *
 * Kept in state_dir/generations.json, for every arm that ever had one, so that an arm that comes
 * back after years does not meet its old entries again. Nor does another arm that is given its
 * namespace: it goes on from there.
 *
 *   { "format": 1, "arms": { "py3": { "generation": 4, "due": 0, "namespace": "py3" } } }
 *
 * `due` is the time of a flush that was asked for with a delay (microseconds since 1970), 0 for
 * none. A change is on disk (written beside, fsynced, renamed, the folder fsynced) before it is in
 * effect. Main thread only.
 */
#ifndef CROSSFADE_ROLLOUT_GENERATIONS_H
#define CROSSFADE_ROLLOUT_GENERATIONS_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stdint.h>

#define GENERATIONS_FILE "generations.json"
#define GENERATIONS_LOCK "generations.lock"
#define GENERATIONS_DELAY_MAX (365u * 86400u) /* seconds; a longer delay is cut to this */
#define GENERATIONS_MAX (1u << 20)            /* of one arm: its prefix stays short */

struct generations;

/*
 * Reads the file, if there is one. NULL with a sentence in error[] when it cannot be read: with a
 * guessed generation old entries would come back.
 */
struct generations *generations_open(const char *state_dir, char *error, size_t error_size);
void generations_close(struct generations *generations);
/* The state folder that they are in. */
const char *generations_folder(const struct generations *generations);

/*
 * Keeps other processes from using the folder's generations until the end, and reads them again, as
 * they may have changed until now. False with a sentence in error[] when another one uses them, or
 * as above. Where the folder cannot be written at all, nobody can change them, and it is true.
 */
bool generations_lock(struct generations *generations, char *error, size_t error_size) MUST_CHECK;
/* Lets others have them: nothing can be raised any more. */
void generations_release(struct generations *generations);

/* From the text of the file; false with half a sentence in error[]: it then knows no arm. */
bool generations_parse(struct generations *generations, struct slice text, char *error,
                       size_t error_size) MUST_CHECK;
/* The text of the file, on the heap; NULL without memory. */
char *generations_print(const struct generations *generations);

/*
 * Of every arm of the configuration, in its order: its own, or that of an arm that had its
 * namespace if that is higher; 0 if there was none.
 */
void generations_fill(const struct generations *generations, const struct config *config,
                      uint64_t *out);

/* The arm's next generation, from now on. False with half a sentence in error[]: all is as before.
 */
bool generations_raise(struct generations *generations, const struct config_arm *arm, char *error,
                       size_t error_size) MUST_CHECK;

/* The same for an activation: a flush that is due later stays so, and *generation is the new one.
 */
bool generations_begin(struct generations *generations, const struct config_arm *arm,
                       uint64_t *generation, char *error, size_t error_size) MUST_CHECK;

/* To be raised at that wall clock; takes the place of an earlier wish. False as above. */
bool generations_schedule(struct generations *generations, const struct config_arm *arm,
                          uint64_t due, char *error, size_t error_size) MUST_CHECK;

/* The arm with the earliest wish, and its time; NULL when there is none. */
const char *generations_next(const struct generations *generations, uint64_t *due);

#endif
