/*
 * What a client sends to log in: however it is cut, the same commands come out of it; what is found
 * lies within the bytes; and one command is always dealt with or asks for more.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/mc_auth.h"

#include <stdlib.h>
#include <string.h>

static bool is_within(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

static void check(struct slice bytes, enum mc_auth_verdict verdict, const struct mc_auth_text *text)
{
    switch (verdict) {
    case MC_AUTH_LOGIN:
        ensure(text->len > 0 && text->len <= bytes.len);
        ensure(text->user.len > 0 && is_within(text->user, bytes));
        ensure(text->password.len > 0 && is_within(text->password, bytes));
        ensure(slice_find(text->user, ' ') == text->user.len);
        ensure(slice_find(text->password, ' ') == text->password.len);
        break;
    case MC_AUTH_REFUSED:
        ensure(text->len > 0 && text->len <= bytes.len && text->answer.len > 2);
        break;
    case MC_AUTH_MORE:
        ensure(text->need == 0 || text->need > bytes.len);
        ensure(text->need <= MC_AUTH_LINE_MAX + 1 + MC_AUTH_VALUE_MAX + 2);
        break;
    case MC_AUTH_CLOSE:
        break;
    }
}

/* The verdict on a prefix, from memory of its own, so that reading behind it is seen. */
static enum mc_auth_verdict parse_copy(const char *bytes, size_t len, size_t *scanned,
                                       size_t *taken)
{
    char *copy = malloc(len > 0 ? len : 1);
    struct mc_auth_text text;
    enum mc_auth_verdict verdict;

    ensure(copy != NULL);
    if (len > 0)
        memcpy(copy, bytes, len);
    verdict = mc_auth_text_parse(slice_of(copy, len), scanned, &text);
    check(slice_of(copy, len), verdict, &text);
    *taken = text.len;
    free(copy);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = size > 0 ? (const char *)data : "";
    struct slice user;
    struct slice password;
    size_t begin = 0;
    size_t scanned = 0;

    if (mc_auth_plain_parse(slice_of(bytes, size), &user, &password)) {
        ensure(user.len > 0 && is_within(user, slice_of(bytes, size)));
        ensure(password.len > 0 && is_within(password, slice_of(bytes, size)));
        ensure(slice_find(password, '\0') == password.len);
    }
    for (size_t end = 1; end <= size && size < 6000; end++) {
        size_t whole_scanned = 0;
        size_t whole;
        size_t taken;
        enum mc_auth_verdict verdict = parse_copy(bytes + begin, end - begin, &scanned, &taken);
        if (verdict == MC_AUTH_MORE)
            continue;
        /* With all that follows in hand it is the same. */
        ensure(parse_copy(bytes + begin, size - begin, &whole_scanned, &whole) == verdict);
        ensure(whole == taken);
        if (verdict == MC_AUTH_CLOSE)
            break;
        begin += taken;
        scanned = 0;
    }
    return 0;
}
