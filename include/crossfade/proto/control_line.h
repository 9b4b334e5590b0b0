/*
 * Lines of the control protocol, both ways.
 *
 *   line     = command *( ";" command ) LF
 *   command  = word *( SP word )
 *   word     = 1*( any byte but space, ";", quote, backslash, control )  / quoted, also mixed:
 *              a="b c"
 *   quoted   = '"' *( any byte but quote, backslash, control / "\" quote / "\\" ) '"'
 *
 *   reply    = ( "OK" [ SP sentence ] / "ERR" SP code SP sentence ) LF *( line LF ) LF
 *
 * Each command of a batch has its reply; an empty line ends it, so no line of a reply is empty.
 */
#ifndef CROSSFADE_PROTO_CONTROL_LINE_H
#define CROSSFADE_PROTO_CONTROL_LINE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#define CONTROL_LINE_MAX 4096u
#define CONTROL_WORDS_MAX 24u

struct control_words {
    unsigned count;
    char *word[CONTROL_WORDS_MAX]; /* terminated, inside storage */
    char storage[CONTROL_LINE_MAX + CONTROL_WORDS_MAX];
};

enum control_line_verdict {
    CONTROL_LINE_OK,  /* a command, with at least one word */
    CONTROL_LINE_END, /* nothing is left of the line */
    CONTROL_LINE_BAD  /* *why is a sentence; the rest of the line is lost */
};

/* Takes the next command off the front of `rest`, a line without its end, at most CONTROL_LINE_MAX.
 */
enum control_line_verdict control_line_next(struct slice *rest, struct control_words *words,
                                            const char **why) MUST_CHECK;

/*
 * Writes `word` so that it is read back as it is, terminated; returns its length, or 0 when it does
 * not fit or has a control byte.
 */
size_t control_line_quote(const char *word, char *out, size_t size);

/* The codes of ERR, and the exit status of crossfadectl for each. */
enum control_code {
    CONTROL_FAILED,  /* 1: it was tried */
    CONTROL_DENIED,  /* 1: the socket's level does not allow it */
    CONTROL_UNKNOWN, /* 2: no such command */
    CONTROL_USAGE,   /* 2: wrong arguments */
    CONTROL_REFUSED, /* 3: the state does not allow it; nothing changed */
    CONTROL_TIMEOUT, /* 4: it is under way, but not everywhere yet */
    CONTROL_DEGRADED /* 5: it took effect, but something is wrong with it */
};

const char *control_code_name(enum control_code code);
int control_code_exit(enum control_code code);
/* False when `name` is none. */
bool control_code_parse(struct slice name, enum control_code *code);

#endif
