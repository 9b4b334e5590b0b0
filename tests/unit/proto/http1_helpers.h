/* Parsing a request as it arrives: all at once, or cut in two at a given byte. */
#ifndef CROSSFADE_TESTS_HTTP1_HELPERS_H
#define CROSSFADE_TESTS_HTTP1_HELPERS_H

#include "crossfade/proto/http1_request.h"
#include "crossfade/proto/http1_response.h"

#include <stdlib.h>

#define TEST_FIELDS 8u
#define TEST_HEAD 512u

struct parsed {
    struct http1_field all[TEST_FIELDS];
    struct http1_request request;
    struct http1_response response;
    struct http1_fault fault;
};

static const struct http1_limits test_limits = { TEST_HEAD, TEST_FIELDS };

/* A heap copy of exactly the bytes that have arrived lets a sanitizer see a read too far. */
static inline enum http1_verdict parse_request(struct parsed *p, struct slice bytes, size_t *scan)
{
    p->fault = (struct http1_fault){ 0, "" };
    p->request.fields.all = p->all;
    p->request.fields.capacity = TEST_FIELDS;
    return http1_request_parse(&p->request, bytes, scan, &test_limits, &p->fault);
}

static inline enum http1_verdict parse_response(struct parsed *p, struct slice bytes, size_t *scan,
                                                enum http1_method method)
{
    p->fault = (struct http1_fault){ 0, "" };
    p->response.fields.all = p->all;
    p->response.fields.capacity = TEST_FIELDS;
    return http1_response_parse(&p->response, bytes, scan, method, &test_limits, &p->fault);
}

#endif
