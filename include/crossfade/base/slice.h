/*
 * A slice is a pointer and a length: bytes that somebody else owns. It is passed by value, is not
 * terminated by a NUL and may hold any byte.
 */
#ifndef CROSSFADE_BASE_SLICE_H
#define CROSSFADE_BASE_SLICE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *data;
    size_t len;
};

/* The slice of a string literal, or of a terminated string. */
#define SLICE(literal) ((struct slice){ .data = (literal), .len = sizeof(literal) - 1 })

/* The same for tables: a static initialiser may not hold a compound literal. */
#define SLICE_INIT(literal)                                                                        \
    {                                                                                              \
        .data = (literal), .len = sizeof(literal) - 1                                              \
    }

static inline struct slice slice_of(const char *data, size_t len)
{
    return (struct slice){ .data = data, .len = len };
}

static inline struct slice slice_string(const char *text)
{
    return (struct slice){ .data = text, .len = strlen(text) };
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* Takes the next word off the front of `rest`, behind spaces; false, and an empty word, at the end.
 * For words that are short. */
static inline bool slice_next_word(struct slice *rest, struct slice *word)
{
    const char *at = rest->data;
    const char *end = at + rest->len;
    const char *begin;

    while (at < end && *at == ' ')
        at++;
    begin = at;
    while (at < end && *at != ' ')
        at++;
    *rest = slice_of(at, (size_t)(end - at));
    *word = slice_of(begin, (size_t)(at - begin));
    return at > begin;
}

/*
 * How many bytes from the front on are above the space (0x20): where a word ends, or something is
 * odd. Eight at a time: of `word` less 0x21 in each byte, a byte that had less shows in its highest
 * bit, and the lowest such bit is exact.
 */
static inline size_t slice_word(struct slice s)
{
    const uint64_t ones = UINT64_MAX / 255;
    size_t at = 0;

    for (; s.len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, s.data + at, sizeof(word));
        word = le64toh(word);
        word = (word - ones * 0x21) & ~word & ones * 0x80;
        if (word != 0)
            return at + ((size_t)__builtin_ctzll(word) >> 3);
    }
    while (at < s.len && (unsigned char)s.data[at] > ' ')
        at++;
    return at;
}

/* Equal but for the case of ASCII letters (names of HTTP fields, RFC 9110 section 5.1). */
bool slice_equal_nocase(struct slice a, struct slice b);

/* The same bytes without the given ones at both ends. */
struct slice slice_trim(struct slice s, const char *unwanted);

/* A decimal number of digits only, at most 20, without overflow. False: out is untouched. */
bool slice_to_u64(struct slice s, uint64_t *out);

/* Where `byte` is first, or s.len. */
size_t slice_find(struct slice s, char byte);

/*
 * The length of the UTF-8 character (RFC 3629) that `s` begins with; 0 where there is none, and for
 * what a terminal may act upon: C0, DEL and C1.
 */
size_t slice_character(struct slice s);

/*
 * Writes `s` into out[size] for a person or a log: printable ASCII as it is, quote and backslash
 * escaped, every other byte as \xNN; what does not fit ends in "...". Always terminated; returns
 * out.
 */
char *slice_escape(struct slice s, char *out, size_t size);

/* A terminated copy on the heap, or NULL without memory. */
char *slice_dup(struct slice s);

#endif
