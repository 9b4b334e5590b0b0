/*
 * The meta protocol: the first byte picks the command, or a reply. A request and the line that is
 * made of it for the server say the same; what is made of a server's reply is a reply, and holds
 * nothing of ours.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/mc_meta_reply.h"

static void check_request(enum mc_verb verb, struct slice rest)
{
    char key[MC_KEY_MAX];
    char again_key[MC_KEY_MAX];
    char line[MC_META_LINE_MAX];
    struct mc_meta meta;
    struct mc_meta again;
    struct slice answer;
    struct slice bytes;
    enum mc_meta_verdict verdict;
    bool base64;
    size_t len;

    /* As a line is: without its end, and without NUL. */
    rest.len = slice_find(rest, '\n');
    rest.len = slice_find(rest, '\0');
    verdict = mc_meta_parse(verb, rest, &meta, &answer);
    if (verdict != MC_META_OK) {
        ensure(answer.len > 2 && memcmp(answer.data + answer.len - 2, "\r\n", 2) == 0);
        ensure(verdict == MC_META_REFUSED || verb == MC_META_SET);
        return;
    }
    bytes = mc_meta_key(&meta, key);
    base64 = meta.base64;
    ensure(bytes.len > 0 && bytes.len <= (base64 ? MC_META_DECODED_MAX : MC_KEY_MAX));
    len = mc_meta_write(verb, &meta, bytes, base64, "0000004d", line);
    ensure(len <= sizeof(line) && memcmp(line + len - 2, "\r\n", 2) == 0);
    ensure(memchr(line, '\n', len - 1) == NULL);
    if (len > MC_META_LINE_MAX / 2)
        return; /* with its mark it may be too long for a client's */
    if (mc_meta_parse(verb, slice_of(line + 2, len - 4), &again, &answer) != MC_META_OK)
        ensure(false);
    ensure(slice_equal(mc_meta_key(&again, again_key), bytes));
    ensure(again.base64 == base64 && !again.quiet && again.value_len == meta.value_len);
    ensure(!again.wants_key && again.mode == meta.mode);
    ensure(verb == MC_META_DEBUG || again.wants_opaque == meta.marked);
}

static void check_debug(struct slice bytes)
{
    struct mc_meta_reply reply;
    struct mc_meta_reply part;
    struct slice wire = SLICE("p.1:o\nwn");

    if (mc_meta_debug_parse(bytes, wire, &reply) != MC_REPLY_OK)
        return;
    ensure(reply.line_len <= bytes.len);
    ensure(reply.code != MC_META_ME ||
           reply.flags.data + reply.flags.len == reply.line.data + reply.line.len);
    for (size_t cut = 0; cut < reply.line_len; cut++)
        ensure(mc_meta_debug_parse(slice_of(bytes.data, cut), wire, &part) == MC_REPLY_MORE);
}

/* Epoch mode: the value that the server has is longer, and its cas number is not shown. */
static void check_stamped(const struct mc_meta_reply *reply)
{
    static const struct mc_meta_echo echo = {
        .key = SLICE_INIT("own"), .letters = SLICE_INIT("st"), .stamp = 20, .hidden = 'c'
    };
    struct mc_meta_echo bare = echo;
    struct mc_meta_reply again;
    char head[MC_META_HEAD_MAX];
    size_t len;

    if (reply->code == MC_META_ME || reply->value_len < echo.stamp)
        return;
    len = mc_meta_reply_write(reply, &echo, 0, head);
    ensure(mc_meta_reply_parse(slice_of(head, len), &again) == MC_REPLY_OK);
    ensure(again.code == reply->code && again.value_len + echo.stamp == reply->value_len);
    ensure(again.cas == 0 && again.won == reply->won && again.lost == reply->lost);
    bare.bare = true;
    len = mc_meta_reply_write(reply, &bare, 0, head);
    ensure(mc_meta_reply_parse(slice_of(head, len), &again) == MC_REPLY_OK);
    ensure(again.code == (reply->code == MC_META_VA ? MC_META_HD : reply->code));
}

static void check_reply(struct slice bytes)
{
    static const struct mc_meta_echo echo = { .key = SLICE_INIT("own"),
                                              .opaque = SLICE_INIT("mark"),
                                              .letters = SLICE_INIT("stcOkfhl") };
    struct mc_meta_reply reply;
    struct mc_meta_reply part;
    struct mc_meta_reply again;
    char head[MC_META_HEAD_MAX];
    size_t len;

    if (mc_meta_reply_parse(bytes, &reply) != MC_REPLY_OK)
        return;
    ensure(reply.line_len <= bytes.len && reply.line.len + 2 == reply.line_len);
    for (size_t cut = 0; cut < reply.line_len; cut++)
        ensure(mc_meta_reply_parse(slice_of(bytes.data, cut), &part) == MC_REPLY_MORE);
    if (!mc_meta_reply_fits(&reply, true, "0000004d"))
        return;
    len = mc_meta_reply_write(&reply, &echo, 4, head);
    ensure(len <= sizeof(head));
    if (len > MC_REPLY_LINE_MAX)
        return; /* with the client's key it may be longer than what a server may say */
    ensure(mc_meta_reply_parse(slice_of(head, len), &again) == MC_REPLY_OK);
    ensure(again.line_len == len && again.code == reply.code && again.value_len == reply.value_len);
    ensure(again.won == reply.won);
    check_stamped(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data + 1, size - 1);

    if (size == 0)
        return 0;
    if (data[0] >= '0' && data[0] <= '4')
        check_request((enum mc_verb)(MC_META_GET + (data[0] - '0')), bytes);
    else if (data[0] == 'm')
        check_debug(bytes);
    else
        check_reply(bytes);
    return 0;
}
