/* Changes of the key of epoch_rig.h. */
#ifndef CROSSFADE_TESTS_CHANGE_RIG_H
#define CROSSFADE_TESTS_CHANGE_RIG_H

#include "epoch_rig.h"

#define TWO_ARMS "{ name: a, namespace: x }, { name: b, namespace: y }"
#define STABLE_ARM "{ name: a, namespace: x }, { name: b, namespace: \"\" }"
#define ALL(writes) "  keys: [ { match: \"*\", writes: " writes " } ]\n"

struct mc_change_request change_request(struct epoch_rig *rig, enum mc_verb verb,
                                        const char *value);
/* From then on one in so many requests for memory is refused; 0: none. */
void change_start_starving(struct epoch_rig *rig, const struct mc_change_request *request,
                           unsigned one_in);
void change_start(struct epoch_rig *rig, const struct mc_change_request *request);
void change_run(struct epoch_rig *rig, const struct mc_change_request *request);
enum mc_changed_kind change_outcome(struct epoch_rig *rig, const struct mc_change_request *request);
enum mc_changed_kind change_to(struct epoch_rig *rig, enum mc_verb verb, const char *value);
enum mc_changed_kind change_compare(struct epoch_rig *rig, enum mc_verb verb, const char *value,
                                    uint64_t cas);
enum mc_changed_kind change_count(struct epoch_rig *rig, enum mc_verb verb, uint64_t delta);
/* There is a current value. */
void change_fill(struct epoch_rig *rig, const char *bytes);
/* There is one that an invalidation has made obsolete. */
void change_spoil(struct epoch_rig *rig, const char *bytes, enum epoch_kind kind);
void change_assert_value(struct epoch_rig *rig, const char *expected);
void change_assert_failed(struct epoch_rig *rig, const char *expected);
void change_recall(struct epoch_rig *rig, const struct token *token);

#endif
