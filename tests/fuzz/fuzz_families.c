/*
 * Lines: a byte of which the event is made, one that says how often, and a key; a '%' in it stands
 * for another word each time, so that a short input fills the table.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/route/suggest.h"

#include <string.h>

static void add(struct families *families, unsigned kind, struct slice key, unsigned number)
{
    char bytes[250];
    size_t len = 0;
    struct family_seen seen = { .event = (enum family_event)(kind % FAMILY_EVENTS),
                                .has_value = kind % 3 == 0,
                                .format = (enum value_format)(kind % VALUE_FORMATS),
                                .expiry = kind * 40,
                                .weight = 1 + kind,
                                .arm = kind };

    for (size_t i = 0; i < key.len && len + 4 < sizeof(bytes); i++) {
        if (key.data[i] == '%')
            for (unsigned rest = number + 1; rest > 0 && len + 4 < sizeof(bytes); rest /= 16)
                bytes[len++] = (char)('g' + rest % 16);
        else
            bytes[len++] = key.data[i];
    }
    if (len == 0)
        return;
    seen.key = slice_of(bytes, len);
    families_add(families, &seen);
}

static void check(const struct families *families)
{
    uint64_t weight = 0;

    ensure(families->count <= FAMILIES_MAX);
    for (unsigned i = 0; i < families->count; i++) {
        const struct family *family = &families->entries[i];
        struct slice text = slice_of(family->text, family->text_len);
        ensure(text.len >= 1 && text.len <= FAMILY_TEXT && family->example_len <= FAMILY_TEXT);
        ensure(family->error <= family->weight);
        weight += family->weight - family->error;
        for (unsigned j = 0; j < i; j++)
            ensure(!slice_equal(
                text, slice_of(families->entries[j].text, families->entries[j].text_len)));
    }
    ensure(weight <= families->weight);
}

static bool has_rule(const struct suggestion *one)
{
    return one->exception || (one->kind != SUGGEST_NOTHING && one->kind != SUGGEST_MAY_SHARE &&
                              !one->settled && one->mixed == NULL);
}

/* No rule stands behind one that catches all that it would. */
static void check_order(const struct suggestion *all, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = i + 1; j < count; j++) {
            if (!has_rule(&all[i]) || !has_rule(&all[j]) || !all[i].prefix)
                continue;
            ensure(slice_equal(all[i].match, all[j].match) ||
                   !slice_starts(all[j].match, all[i].match));
            ensure(!slice_equal(all[i].match, all[j].match) || !all[j].prefix ||
                   all[i].exception == all[j].exception);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct families families[2];
    static struct suggestion all[FAMILIES_MAX];
    static char match[] = "ab:";
    static struct config_rule rule = { .match = match, .prefix = true, .scope = SCOPE_SHARED };
    const struct config_cache config = { .rules = &rule, .rule_count = 1 };
    struct slice rest = slice_of((const char *)data, size < 4096 ? size : 4096);
    unsigned budget = 1000; /* keys in one input */

    memset(families, 0, sizeof(families));
    while (rest.len > 2) {
        size_t len = slice_find(rest, '\n');
        for (unsigned i = 0; len > 2 && i <= (unsigned char)rest.data[1] && budget > 0;
             i++, budget--)
            add(&families[(unsigned char)rest.data[0] >> 7], (unsigned char)rest.data[0] & 127u,
                slice_of(rest.data + 2, len - 2), i);
        rest = len < rest.len ? slice_of(rest.data + len + 1, rest.len - len - 1)
                              : slice_of(rest.data, 0);
    }
    check(&families[0]);
    check(&families[1]);
    check_order(all, suggest(&families[0], &config, all));
    families_merge(&families[0], &families[1]);
    check(&families[0]);
    check_order(all, suggest(&families[0], &config, all));
    return 0;
}
