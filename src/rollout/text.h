/* Text from a person, made fit for a state file, an audit line and a terminal. */
#ifndef CROSSFADE_ROLLOUT_TEXT_H
#define CROSSFADE_ROLLOUT_TEXT_H

#include <stddef.h>

/*
 * Copies `text` (NULL: none) into out[size], always terminated: valid UTF-8 (RFC 3629) as it is,
 * control characters and anything else as "?", cut at a character with "..." at the end.
 */
void text_keep(char *out, size_t size, const char *text);

#endif
