/*
 * A response head, to GET and to HEAD: the same outcome wherever it is cut, and what was accepted
 * is accepted again after it was written anew.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/http1_write.h"

#include <stdlib.h>

#define FIELDS 32u

static const struct http1_limits limits = { 4096, FIELDS };

static void check_written(const struct http1_response *response, enum http1_method method)
{
    static const struct http1_limits wide = { 65536, 2 * FIELDS };
    struct http1_reply reply = { .close = true,
                                 .chunked = response->body == HTTP1_BODY_CHUNKED,
                                 .arm = SLICE("py3"),
                                 .cookie = SLICE("cf_id"),
                                 .cookie_value = SLICE("x") };
    size_t bound = http1_response_bound(response, &reply);
    char *out = malloc(bound);
    struct http1_field all[2 * FIELDS];
    struct http1_response again = { .fields = { .all = all, .capacity = 2 * FIELDS } };
    struct http1_fault fault;
    size_t scan = 0;
    size_t len;

    ensure(out != NULL);
    len = http1_response_write(out, response, &reply);
    ensure(len <= bound);
    ensure(http1_response_parse(&again, slice_of(out, len), &scan, method, &wide, &fault) ==
           HTTP1_DONE);
    ensure(again.head_len == len && again.status == response->status);
    ensure(again.body == response->body && !again.keep_alive);
    free(out);
}

static void check(struct slice bytes, enum http1_method method)
{
    struct http1_field all[FIELDS];
    struct http1_response response = { .fields = { .all = all, .capacity = FIELDS } };
    struct http1_fault whole_fault = { 0, NULL };
    struct http1_fault fault = { 0, NULL };
    enum http1_verdict whole, parts = HTTP1_MORE;
    size_t scan = 0;

    for (size_t len = 1; len <= bytes.len && parts == HTTP1_MORE; len++)
        parts = http1_response_parse(&response, slice_of(bytes.data, len), &scan, method, &limits,
                                     &fault);
    scan = 0;
    whole = http1_response_parse(&response, bytes, &scan, method, &limits, &whole_fault);
    ensure(whole == parts && whole_fault.text == fault.text);
    if (whole == HTTP1_DONE)
        check_written(&response, method);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(slice_of((const char *)data, size), HTTP1_GET);
    check(slice_of((const char *)data, size), HTTP1_HEAD);
    return 0;
}
