/*
 * A request head: the outcome may not depend on where the bytes are cut, and a head that was
 * accepted and written anew is accepted by the same parser and means the same.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/http1_write.h"

#include <stdlib.h>

#define FIELDS 32u

static const struct http1_limits limits = { 4096, FIELDS };

static void check_written(const struct http1_request *request)
{
    static const struct http1_limits wide = { 65536, 2 * FIELDS };
    const struct http1_hop hop = { SLICE("2001:db8::1"), SLICE("http"), SLICE("id") };
    size_t bound = http1_request_bound(request, &hop);
    char *out = malloc(bound);
    struct http1_field all[2 * FIELDS];
    struct http1_request again = { .fields = { .all = all, .capacity = 2 * FIELDS } };
    struct http1_fault fault;
    size_t scan = 0;
    size_t len;

    ensure(out != NULL);
    len = http1_request_write(out, request, &hop);
    ensure(len <= bound);
    ensure(http1_request_parse(&again, slice_of(out, len), &scan, &wide, &fault) == HTTP1_DONE);
    ensure(again.head_len == len);
    ensure(again.body == request->body && again.length == request->length);
    ensure(slice_equal(again.host, request->host) && slice_equal(again.method, request->method));
    ensure(again.expect_continue == request->expect_continue && !again.websocket);
    for (unsigned i = 0; i < again.fields.count; i++)
        ensure(!again.fields.all[i].underscore && again.fields.all[i].id != HTTP1_X_CROSSFADE &&
               again.fields.all[i].id != HTTP1_HOP_BY_HOP);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct http1_field all[FIELDS];
    struct http1_request request = { .fields = { .all = all, .capacity = FIELDS } };
    struct http1_fault whole_fault = { 0, NULL };
    struct http1_fault fault = { 0, NULL };
    enum http1_verdict whole, parts = HTTP1_MORE;
    size_t scan = 0;

    for (size_t len = 1; len <= size && parts == HTTP1_MORE; len++)
        parts = http1_request_parse(&request, slice_of(bytes.data, len), &scan, &limits, &fault);
    scan = 0;
    whole = http1_request_parse(&request, bytes, &scan, &limits, &whole_fault);
    ensure(whole == parts && whole_fault.text == fault.text);
    if (whole == HTTP1_DONE) {
        struct slice value;
        ensure(request.head_len <= size && request.host.len > 0 && request.target.len > 0);
        (void)http1_find_cookie(&request.fields, SLICE("uid"), &value);
        (void)http1_find_query(request.target, SLICE("u"), &value);
        check_written(&request);
    }
    return 0;
}
