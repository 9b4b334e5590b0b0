/*
 * A keep-alive HTTP/1.1 load generator with an exact number of requests, so that the CPU time of a
 * proxy per request is exact too. Each answer must be a 200 with the Content-Length and the body
 * that httporigin sends; anything else ends the run.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 4096u

struct reading {
    size_t head_length; /* gathered so far */
    size_t body_left;
    char head[HEAD_MAX];
};

struct httpload {
    struct load *load;
    size_t body_size;
    size_t request_length;
    char request[512];
    struct reading *readings;
};

static size_t compose(void *context, unsigned connection, unsigned index, char *out)
{
    struct httpload *self = context;

    (void)connection;
    (void)index;
    memcpy(out, self->request, self->request_length);
    return self->request_length;
}

static void check_head(const struct httpload *self, char *head, size_t length)
{
    static const char name[] = "\r\nContent-Length:";
    const char *field;

    head[length - 1] = '\0';
    field = strcasestr(head, name);
    if (strncmp(head, "HTTP/1.1 200", 12) != 0)
        bench_fail("not a 200: %.80s", head);
    if (field == NULL || strtoul(field + sizeof(name) - 1, NULL, 10) != self->body_size)
        bench_fail("not a Content-Length of %zu: %.400s", self->body_size, head);
}

/* Takes what belongs to the head; sets body_left once it is whole. */
static size_t feed_head(struct httpload *self, struct reading *reading, const char *bytes,
                        size_t count)
{
    size_t room = HEAD_MAX - reading->head_length;
    size_t before = reading->head_length;
    size_t taken = count < room ? count : room;
    size_t from = before > 3 ? before - 3 : 0;
    const char *end;

    memcpy(reading->head + before, bytes, taken);
    end = memmem(reading->head + from, before + taken - from, "\r\n\r\n", 4);
    if (end == NULL) {
        if (taken == room)
            bench_fail("a head without an end: %.80s", reading->head);
        reading->head_length += taken;
        return taken;
    }
    reading->head_length = (size_t)(end + 4 - reading->head);
    taken = reading->head_length - before;
    check_head(self, reading->head, reading->head_length);
    reading->head_length = 0;
    reading->body_left = self->body_size;
    return taken;
}

static void feed(void *context, unsigned connection, const char *bytes, size_t count)
{
    struct httpload *self = context;
    struct reading *reading = &self->readings[connection];

    while (count > 0) {
        size_t taken;
        (void)load_current(self->load, connection);
        if (reading->body_left == 0) {
            taken = feed_head(self, reading, bytes, count);
        } else {
            taken = reading->body_left < count ? reading->body_left : count;
            for (size_t i = 0; i < taken; i++) {
                if (bytes[i] != 'x')
                    bench_fail("not the body: %.80s", bytes);
            }
            reading->body_left -= taken;
            if (reading->body_left == 0)
                load_answered(self->load, connection);
        }
        bytes += taken;
        count -= taken;
    }
}

static const char usage[] = "usage: httpload OPTION...\n" LOAD_OPTIONS_USAGE
                            "  --size BYTES                     of a body (1024)\n";

int main(int argc, char **argv)
{
    struct load_options options = {
        .connections = 1, .depth = 1, .warm_up = UINT64_MAX, .max_seconds = 120
    };
    struct httpload self = { .body_size = 1024 };
    struct load_protocol protocol = { .compose = compose, .feed = feed, .self = &self };

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--gate") == 0) {
            options.gate = true;
        } else if (strcmp(name, "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        } else {
            if (strcmp(name, "--size") == 0)
                self.body_size = bench_number(name, value, 1, 1 << 30);
            else if (!load_option(&options, name, value))
                bench_fail("%s: no such option", name);
            i++;
        }
    }
    self.request_length = (size_t)snprintf(self.request, sizeof(self.request),
                                           "GET /item HTTP/1.1\r\n"
                                           "Host: bench.example\r\n"
                                           "User-Agent: httpload\r\n"
                                           "Accept: */*\r\n"
                                           "Cookie: uid=4711\r\n"
                                           "\r\n");
    protocol.request_max = self.request_length;
    self.readings = bench_allocate(options.connections, sizeof(*self.readings));
    self.load = load_create(&options, &protocol);
    load_run(self.load);
    load_destroy(self.load);
    free(self.readings);
    return 0;
}
