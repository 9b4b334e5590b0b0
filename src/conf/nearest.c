#include "loader.h"

#define LENGTH_MAX 64u

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][LENGTH_MAX + 1];
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *now = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *spare = before;
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = last[j - 1] + (a.data[i - 1] != b.data[j - 1]);
            now[j] = least(change, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

void nearest_begin(struct nearest *nearest, struct slice wanted)
{
    /* More changes than this, and the name is another word. */
    *nearest = (struct nearest){ .wanted = wanted, .distance = 2 + wanted.len / 4 };
    if (wanted.len < 4)
        nearest->distance = 2;
}

void nearest_offer(struct nearest *nearest, struct slice name)
{
    size_t found;

    if (nearest->wanted.len > LENGTH_MAX || name.len > LENGTH_MAX || name.len == 0)
        return;
    found = distance(nearest->wanted, name);
    if (found < nearest->distance && found < name.len) {
        nearest->distance = found;
        nearest->best = name;
    }
}

const char *nearest_hint(const struct nearest *nearest, char *out, size_t size)
{
    if (nearest->best.data == NULL)
        return "";
    (void)snprintf(out, size, "; did you mean %.*s?", (int)nearest->best.len, nearest->best.data);
    return out;
}
