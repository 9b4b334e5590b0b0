#include "crossfade/route/families.h"

#include "crossfade/base/hash.h"

/* Words of that length are taken out if they are hexadecimal with digits among them... */
#define HEX_MIN 8u
/* ...and of that length if they have both letters and digits. */
#define MIXED_MIN 16u
/* Digits at the end of a word that are taken out. */
#define TAIL_MIN 3u
#define UUID_LENGTH 36u

/* -- The family of a key ------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Of a word: letters, digits, the bytes of other alphabets, and the mark of what was taken out. */
static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*' ||
           (unsigned char)c >= 0x80;
}

/* 8-4-4-4-12 hexadecimal digits (RFC 9562 section 4), and no more of a word behind them. */
static bool is_uuid(struct slice rest)
{
    if (rest.len < UUID_LENGTH || (rest.len > UUID_LENGTH && is_word(rest.data[UUID_LENGTH])))
        return false;
    for (size_t i = 0; i < UUID_LENGTH; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? rest.data[i] != '-' : !is_hex(rest.data[i]))
            return false;
    }
    return true;
}

/* How much of a word stays in front of what changes; its whole length if nothing does. */
static size_t stable_part(struct slice word)
{
    size_t digits = 0;
    size_t hex = 0;
    size_t tail = word.len;

    for (size_t i = 0; i < word.len; i++) {
        digits += is_digit(word.data[i]);
        hex += is_hex(word.data[i]);
    }
    if (digits == word.len)
        return 0;
    if (digits > 0 && ((hex == word.len && word.len >= HEX_MIN) || word.len >= MIXED_MIN))
        return 0;
    while (is_digit(word.data[tail - 1]))
        tail--;
    return word.len - tail >= TAIL_MIN ? tail : word.len;
}

struct text {
    char *out;
    size_t len;
    bool cut;
};

static void put(struct text *text, const char *data, size_t len)
{
    if (len > FAMILY_TEXT - text->len) {
        len = FAMILY_TEXT - text->len;
        text->cut = true;
    }
    memcpy(text->out + text->len, data, len);
    text->len += len;
}

size_t family_of(struct slice key, char out[FAMILY_TEXT])
{
    struct text text = { out, 0, false };
    size_t at = 0;

    while (at < key.len && !text.cut) {
        struct slice rest = slice_of(key.data + at, key.len - at);
        struct slice word = slice_of(rest.data, 0);
        size_t stable;

        if (!is_word(rest.data[0])) {
            put(&text, rest.data, 1);
            at++;
            continue;
        }
        if (is_uuid(rest)) {
            put(&text, "*", 1);
            at += UUID_LENGTH;
            continue;
        }
        while (word.len < rest.len && is_word(rest.data[word.len]))
            word.len++;
        stable = stable_part(word);
        put(&text, word.data, stable);
        if (stable < word.len)
            put(&text, "*", 1);
        at += word.len;
    }
    if (text.cut)
        out[FAMILY_TEXT - 1] = '*';
    return text.len;
}

/* -- The table ----------------------------------------------------------------------------------
 */

static struct slice text_of(const struct family *family)
{
    return slice_of(family->text, family->text_len);
}

static uint64_t hash_text(struct slice text)
{
    return hash_bytes(0, text.data, text.len);
}

/* Where the word that begins at `from` ends. */
static size_t word_end(struct slice text, size_t from)
{
    while (from < text.len && is_word(text.data[from]))
        from++;
    return from;
}

/* A word "*" of the pattern stands for any word. */
static bool matches(struct slice pattern, struct slice text)
{
    size_t p = 0;
    size_t t = 0;

    while (p < pattern.len && t < text.len) {
        size_t pattern_end = word_end(pattern, p);
        size_t text_end = word_end(text, t);
        bool any = pattern_end == p + 1 && pattern.data[p] == '*';

        if (any ? text_end == t
                : !slice_equal(slice_of(pattern.data + p, pattern_end - p),
                               slice_of(text.data + t, text_end - t)))
            return false;
        p = pattern_end;
        t = text_end;
        if (p == pattern.len || t == text.len)
            break;
        if (pattern.data[p++] != text.data[t++])
            return false;
    }
    return p == pattern.len && t == text.len;
}

static struct family *find(struct families *families, struct slice text, uint64_t hash)
{
    for (unsigned i = 0; i < families->count; i++)
        if (families->hashes[i] == hash && slice_equal(text_of(&families->entries[i]), text))
            return &families->entries[i];
    for (unsigned i = 0; i < families->count; i++)
        if (families->entries[i].merged && matches(text_of(&families->entries[i]), text))
            return &families->entries[i];
    return NULL;
}

static void add_stats(struct family *to, const struct family *from)
{
    to->arms |= from->arms;
    to->samples += from->samples;
    to->weight += from->weight;
    to->error += from->error;
    to->short_adds += from->short_adds;
    for (unsigned i = 0; i < FAMILY_EVENTS; i++)
        to->events[i] += from->events[i];
    for (unsigned i = 0; i < VALUE_FORMATS; i++)
        to->formats[i] += from->formats[i];
}

/* Which words are taken out of a text, in the order in which that is tried. */
enum taking { ONE_OF_THE_LATER, ALL_OF_THE_LATER, THE_FIRST, TAKINGS };

/* How many entries have to be alike then. What begins the keys tells kinds of keys apart. */
static const unsigned group_min[TAKINGS] = {
    [ONE_OF_THE_LATER] = 12, [ALL_OF_THE_LATER] = 24, [THE_FIRST] = FAMILIES_MAX / 2
};

/* A text without some of its words. */
struct pattern {
    uint64_t hash;
    uint8_t entry;
    uint8_t from; /* the word that is taken out... */
    uint8_t to;   /* ...; 0: all from the second one on */
};

static size_t write_pattern(struct slice text, const struct pattern *pattern, char out[FAMILY_TEXT])
{
    struct text made = { out, 0, false };
    size_t at = 0;

    if (pattern->to > 0) {
        put(&made, text.data, pattern->from);
        put(&made, "*", 1);
        put(&made, text.data + pattern->to, text.len - pattern->to);
        return made.len;
    }
    at = word_end(text, 0);
    put(&made, text.data, at);
    while (at < text.len) {
        size_t end = word_end(text, at);
        if (end > at)
            put(&made, "*", 1);
        else
            put(&made, text.data + at++, 1);
        at = end > at ? end : at;
    }
    return made.len;
}

#define PATTERNS_MAX (FAMILIES_MAX * 8u) /* words of a text beyond the eighth are not tried */
_Static_assert(FAMILIES_MAX <= 256, "an entry's number fits in struct pattern");

static unsigned add_pattern(struct pattern *patterns, unsigned count, struct slice text,
                            struct pattern pattern)
{
    char out[FAMILY_TEXT];
    struct slice made = slice_of(out, write_pattern(text, &pattern, out));

    if (slice_equal(made, text))
        return count;
    pattern.hash = hash_text(made);
    patterns[count] = pattern;
    return count + 1;
}

/* What is frequent by itself is not merged with anything. */
static bool is_frequent(const struct families *families, unsigned entry)
{
    return families->entries[entry].weight > families->weight / FAMILIES_MAX;
}

static unsigned list_patterns(const struct families *families, enum taking taking,
                              struct pattern *patterns)
{
    unsigned count = 0;

    for (unsigned i = 0; i < families->count; i++) {
        struct slice text = text_of(&families->entries[i]);
        unsigned words = 0;
        if (is_frequent(families, i))
            continue;
        if (taking == ALL_OF_THE_LATER) {
            count = add_pattern(patterns, count, text, (struct pattern){ .entry = (uint8_t)i });
            continue;
        }
        for (size_t at = 0; at < text.len && words < 8; words++) {
            size_t end = word_end(text, at);
            if (end > at && (at == 0) == (taking == THE_FIRST))
                count =
                    add_pattern(patterns, count, text,
                                (struct pattern){
                                    .entry = (uint8_t)i, .from = (uint8_t)at, .to = (uint8_t)end });
            at = end + 1;
        }
    }
    return count;
}

/* The pattern that most entries have in common, and how many those are. */
static unsigned most_common(const struct pattern *patterns, unsigned count, unsigned *which)
{
    enum { SLOTS = 4096 };
    static const unsigned mask = SLOTS - 1;
    uint16_t first[SLOTS] = { 0 }; /* a pattern's number, from 1; 0: free */
    uint16_t times[PATTERNS_MAX] = { 0 };
    unsigned best = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned slot = (unsigned)(patterns[i].hash & mask);
        while (first[slot] != 0 && patterns[first[slot] - 1].hash != patterns[i].hash)
            slot = (slot + 1) & mask;
        if (first[slot] == 0)
            first[slot] = (uint16_t)(i + 1);
        if (++times[first[slot] - 1] > best) {
            best = times[first[slot] - 1];
            *which = first[slot] - 1u;
        }
    }
    return best;
}

static void take_out(struct families *families, unsigned at)
{
    families->count--;
    families->entries[at] = families->entries[families->count];
    families->hashes[at] = families->hashes[families->count];
}

/* Entries that are alike but for some of their words become one. False when not enough of them are.
 */
static bool merge_group(struct families *families, enum taking taking)
{
    struct pattern patterns[PATTERNS_MAX];
    unsigned count = list_patterns(families, taking, patterns);
    unsigned which = 0;
    struct family merged;
    struct slice text;

    if (most_common(patterns, count, &which) < group_min[taking])
        return false;
    merged = families->entries[patterns[which].entry];
    merged.text_len = (uint8_t)write_pattern(text_of(&families->entries[patterns[which].entry]),
                                             &patterns[which], merged.text);
    merged.merged = true;
    text = text_of(&merged);
    take_out(families, patterns[which].entry);
    for (unsigned i = families->count; i-- > 0;) {
        struct slice other = text_of(&families->entries[i]);
        if (slice_equal(text, other) || (!is_frequent(families, i) && matches(text, other))) {
            add_stats(&merged, &families->entries[i]);
            take_out(families, i);
        }
    }
    families->hashes[families->count] = hash_text(text);
    families->entries[families->count++] = merged;
    return true;
}

/* Looking for what can be merged takes far longer than a sample may: when there is nothing, not for
 * every newcomer again. */
#define UNMERGED (FAMILIES_MAX / 4u)

static bool make_room(struct families *families)
{
    if (families->unmerged > 0) {
        families->unmerged--;
        return false;
    }
    for (int taking = 0; taking < TAKINGS; taking++)
        if (merge_group(families, (enum taking)taking))
            return true;
    families->unmerged = UNMERGED;
    return false;
}

/* An entry for a text that has none, with nothing counted but what its predecessor left as error.
 */
static struct family *insert(struct families *families, struct slice text, uint64_t hash)
{
    unsigned at = families->count;
    uint64_t error = 0;

    if (at == FAMILIES_MAX) {
        at = 0;
        for (unsigned i = 1; i < FAMILIES_MAX; i++)
            if (families->entries[i].weight < families->entries[at].weight)
                at = i;
        error = families->entries[at].weight;
    } else {
        families->count++;
    }
    families->hashes[at] = hash;
    families->entries[at] =
        (struct family){ .text_len = (uint8_t)text.len, .weight = error, .error = error };
    memcpy(families->entries[at].text, text.data, text.len);
    return &families->entries[at];
}

static struct family *entry_of(struct families *families, struct slice text)
{
    uint64_t hash = hash_text(text);
    struct family *family = find(families, text, hash);

    if (family != NULL)
        return family;
    if (families->count == FAMILIES_MAX && make_room(families)) {
        family = find(families, text, hash); /* it may be one of the merged */
        if (family != NULL)
            return family;
    }
    return insert(families, text, hash);
}

void families_add(struct families *families, const struct family_seen *seen)
{
    char text[FAMILY_TEXT];
    size_t len = family_of(seen->key, text);
    struct family *family = entry_of(families, slice_of(text, len));

    families->samples++;
    families->weight += seen->weight;
    if (family->example_len == 0) {
        family->example_len = (uint8_t)(seen->key.len < FAMILY_TEXT ? seen->key.len : FAMILY_TEXT);
        memcpy(family->example, seen->key.data, family->example_len);
    }
    family->samples++;
    family->weight += seen->weight;
    family->arms |= seen->arm < 32 ? UINT32_C(1) << seen->arm : 0;
    family->events[seen->event] += seen->weight;
    if (seen->has_value)
        family->formats[seen->format] += seen->weight;
    if (seen->event == FAMILY_ADD && seen->expiry > 0 && seen->expiry <= FAMILY_SHORT_EXPIRY)
        family->short_adds += seen->weight;
}

void families_merge(struct families *into, const struct families *from)
{
    into->samples += from->samples;
    into->weight += from->weight;
    for (unsigned i = 0; i < from->count; i++) {
        const struct family *other = &from->entries[i];
        struct family *family = entry_of(into, text_of(other));

        if (family->example_len == 0) {
            family->example_len = other->example_len;
            memcpy(family->example, other->example, other->example_len);
        }
        family->merged |= other->merged;
        add_stats(family, other);
    }
}
