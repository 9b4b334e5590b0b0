/*
 * The schema: one row for every key that the configuration file may have. The rows drive the
 * loader, `crossfade --check`, `crossfadectl show config` and the test that keeps
 * conf/crossfade.yaml complete.
 *
 * A new key is a row here, a field in config.h and a line in conf/crossfade.yaml. A key whose
 * feature does not exist yet has its row too, marked SCHEMA_LATER, so that nobody's setting is
 * ignored.
 */
#ifndef CROSSFADE_CONF_SCHEMA_H
#define CROSSFADE_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_kind {
    SCHEMA_SECTION, /* a map with the keys in `rows` */
    SCHEMA_LIST,    /* of sections (`rows`) or of values (`element`) */
    SCHEMA_NAMED,   /* a map from names of the user's choice to lists of `rows` */
    SCHEMA_MATCHES, /* a list of sections in which a name stands for a list of rollout.lists */
    /* Values; all are scalars in the file. */
    SCHEMA_TEXT,     /* low to high bytes, printable */
    SCHEMA_NAME,     /* letters, digits, '_' and '-' */
    SCHEMA_PATH,     /* absolute */
    SCHEMA_NUMBER,   /* low to high */
    SCHEMA_SIZE,     /* bytes, low to high */
    SCHEMA_DURATION, /* microseconds, low to high */
    SCHEMA_PERCENT,  /* steps of 0.0001 %; and that it was given */
    SCHEMA_BOOL,
    SCHEMA_CHOICE,    /* one of `choices` */
    SCHEMA_MODE,      /* octal permission bits; -1: not given */
    SCHEMA_ENDPOINT,  /* host:port or unix:/path */
    SCHEMA_ADMIN,     /* host:port or off */
    SCHEMA_SERVER,    /* a whole backend: an endpoint, perhaps with :weight */
    SCHEMA_ARM,       /* the name of an arm; its index, or CONFIG_NO_ARM */
    SCHEMA_UID,       /* the number of a user; -1: not given */
    SCHEMA_NAMESPACE, /* a name, may be empty, ${ENV} is expanded */
    SCHEMA_HASH_TAG,  /* two bytes, or empty */
    SCHEMA_PATTERN,   /* a key, or the beginning of one and a * */
    SCHEMA_IDENTITY,  /* header:NAME, cookie:NAME, query:NAME, ip, issue:NAME */
    SCHEMA_HEADER,    /* "Name: value" or "Name" */
    SCHEMA_COOKIE,    /* "name=value" or "name" */
    SCHEMA_NETWORK,   /* 10.0.0.0/8 */
    SCHEMA_WORKERS,   /* a number, or auto */
    SCHEMA_LOG_TARGET /* off, stdout or a path */
};

enum schema_flag {
    SCHEMA_REQUIRED = 1,   /* the section that it is in makes no sense without it */
    SCHEMA_RESTART = 2,    /* a change takes effect at the next start, not at a reload */
    SCHEMA_LATER = 4,      /* known, and refused: not available in this version */
    SCHEMA_TRUE_LATER = 8, /* a bool whose `true` is not available in this version */
    SCHEMA_OPTIONAL = 16,  /* a section that turns something on by being there (`present`) */
    SCHEMA_OFF = 32        /* an empty text is stored as NULL */
};

struct schema_choice {
    const char *name;
    unsigned value;
    bool later; /* not available in this version */
};

struct schema_row {
    const char *name;
    enum schema_kind kind;
    unsigned flags;
    const char *standard; /* the default as it would be written; NULL: none, see `note` */
    const char *note;     /* what holds instead of a default: "the arm's name" */
    const char *help;     /* one line */
    uint64_t low;         /* bounds of a value or of a list's length; high 0: none */
    uint64_t high;
    const struct schema_choice *choices; /* ends with a name of NULL */
    const struct schema_row *rows;       /* ends with a name of NULL */
    enum schema_kind element;            /* of a list without rows */
    const char *shorthand; /* a scalar in place of a list's section is this key of it */
    /* Where the value goes, within the structure of the section that the row is in. */
    size_t offset;
    size_t width;        /* of the field; 0: nothing is kept */
    size_t count_offset; /* of a list */
    size_t element_size;
    size_t given_offset;   /* a bool: SCHEMA_PERCENT: given; SCHEMA_NAMESPACE: had ${...} */
    size_t present_offset; /* SCHEMA_OPTIONAL: a bool, within the section's own structure */
};

/* The rows of the file's top level. */
const struct schema_row *schema_root(void);

/* Calls `each` for every row, a section before its rows, with its path: "cache.listen[].arm". */
typedef void (*schema_each)(void *context, const char *path, const struct schema_row *row);
void schema_walk(schema_each each, void *context);

#endif
