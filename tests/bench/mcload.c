/*
 * A load generator for memcache's text protocol that costs little and believes nothing: every
 * answer is compared, byte by byte, with the only right one (key, length, value, order), and a
 * wrong one ends the run.
 *
 * All keys have one length and so have all values, so an answer is
 *
 *     VALUE bench:item:00000042 0 1024\r\n     a head of known length: item->head
 *     <value>                                  pattern + where the key's value begins
 *     \r\n   or   \r\nEND\r\n                  the tail
 *
 * and no number has to be parsed. Values of different keys differ, so a mix-up shows.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "bench:item:%08u"
#define KEY_LENGTH 19u
#define HEAD_FORMAT "VALUE " KEY " 0 %zu\r\n"
#define HEAD_FIXED 17u /* "VALUE bench:item:" */
#define HEAD_MAX 64u
#define MANY_MAX 1000u
#define PATTERN_STEP 61u
#define PATTERN_STEPS 97u

enum mix { MIX_GET, MIX_SET, MIX_MIXED, MIX_DELETE, MIX_FILL };
enum kind { KIND_GET, KIND_MISS, KIND_SET, KIND_DELETE };

/* What a connection does in turn with a key that no other connection has. */
static const struct cycle {
    unsigned count;
    enum kind kinds[3];
} cycles[] = { [MIX_DELETE] = { 2, { KIND_SET, KIND_DELETE } },
               [MIX_FILL] = { 3, { KIND_SET, KIND_DELETE, KIND_MISS } } };

/* What is sent and awaited for one key. */
struct item {
    char get[8 + KEY_LENGTH];
    char set[HEAD_MAX];
    char delete[12 + KEY_LENGTH];
    char head[HEAD_MAX];
};

enum part { PART_BEGIN, PART_HEAD, PART_VALUE, PART_TAIL };

struct request {
    uint32_t first; /* key; the others of a many-key get follow it */
    enum kind kind;
};

/* Where the connection is in the answer that it reads. */
struct reading {
    enum part part;
    unsigned values;     /* of this answer, complete */
    const char *value;   /* expected bytes */
    size_t left;         /* of the value, or of the tail */
    const char *tail;    /* expected bytes */
    size_t head_length;  /* gathered so far */
    char head[HEAD_MAX]; /* a head that came in pieces */
    uint64_t random;
    uint32_t step; /* of its cycle */
};

struct mcload {
    struct load *load;
    enum mix mix;
    unsigned keys;
    unsigned many; /* keys of one get */
    size_t value_size;
    size_t head_length;
    size_t set_length;
    unsigned connections;
    unsigned depth;
    bool storing;
    uint32_t next_stored;
    struct item *items;
    char *pattern;
    struct request *requests; /* of all connections' batches */
    struct reading *readings;
};

static const char *value_of(const struct mcload *self, uint32_t key)
{
    return self->pattern + key % PATTERN_STEPS * PATTERN_STEP;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint32_t key_after(const struct mcload *self, uint32_t first, unsigned distance)
{
    uint32_t key = first + distance;
    return key < self->keys ? key : key - self->keys;
}

static struct request next_of_cycle(struct mcload *self, unsigned connection)
{
    const struct cycle *cycle = &cycles[self->mix];
    uint32_t own = self->keys / self->connections;
    uint32_t step = self->readings[connection].step++;

    return (struct request){ .first = connection * own + step / cycle->count % own,
                             .kind = cycle->kinds[step % cycle->count] };
}

static struct request choose(struct mcload *self, unsigned connection)
{
    uint64_t random = next_random(&self->readings[connection].random);
    struct request request = { .first = (uint32_t)((random >> 8) % self->keys), .kind = KIND_GET };

    if (self->storing) {
        request.first = self->next_stored++;
        request.kind = KIND_SET;
    } else if (self->mix >= MIX_DELETE) {
        request = next_of_cycle(self, connection);
    } else if (self->mix == MIX_SET || (self->mix == MIX_MIXED && (random >> 40) % 10 == 0)) {
        request.kind = KIND_SET;
    }
    return request;
}

static size_t compose(void *context, unsigned connection, unsigned index, char *out)
{
    struct mcload *self = context;
    struct request request = choose(self, connection);
    char *at = out;

    self->requests[connection * self->depth + index] = request;
    if (request.kind == KIND_SET) {
        memcpy(at, self->items[request.first].set, self->set_length);
        at += self->set_length;
        memcpy(at, value_of(self, request.first), self->value_size);
        at += self->value_size;
    } else if (request.kind == KIND_DELETE) {
        memcpy(at, self->items[request.first].delete, strlen("delete ") + KEY_LENGTH);
        at += strlen("delete ") + KEY_LENGTH;
    } else {
        memcpy(at, "get", 3);
        at += 3;
        for (unsigned i = 0; i < self->many; i++) {
            memcpy(at, self->items[key_after(self, request.first, i)].get, KEY_LENGTH + 1);
            at += KEY_LENGTH + 1;
        }
    }
    memcpy(at, "\r\n", 2);
    return (size_t)(at + 2 - out);
}

_Noreturn static void wrong(const char *what, const char *bytes, size_t count)
{
    bench_fail("%s: got %.*s", what, (int)(count < 80 ? count : 80), bytes);
}

/* Checks a complete head; the values of a many-key get come in the order asked. */
static uint32_t key_of_head(const struct mcload *self, const struct reading *reading,
                            uint32_t first, const char *head)
{
    uint32_t key = key_after(self, first, reading->values);

    if (memcmp(head, self->items[key].head, self->head_length) != 0)
        wrong("not the head of the value asked for", head, self->head_length);
    return key;
}

static size_t feed_head(struct mcload *self, struct reading *reading, uint32_t first,
                        const char *bytes, size_t count)
{
    size_t taken = self->head_length - reading->head_length;
    const char *head = bytes;
    size_t have;

    if (taken > count)
        taken = count;
    have = taken;
    if (reading->head_length != 0 || taken < self->head_length) {
        memcpy(reading->head + reading->head_length, bytes, taken);
        reading->head_length += taken;
        head = reading->head;
        have = reading->head_length;
    }
    /* An error line is shorter than a head: seen by its first bytes, not awaited. */
    if (memcmp(head, "VALUE bench:item:", have < HEAD_FIXED ? have : HEAD_FIXED) != 0)
        wrong("not a value", bytes, count);
    if (have == self->head_length) {
        reading->value = value_of(self, key_of_head(self, reading, first, head));
        reading->left = self->value_size;
        reading->head_length = 0;
        reading->part = PART_VALUE;
    }
    return taken;
}

static void expect_tail(struct reading *reading, const char *text)
{
    reading->tail = text;
    reading->left = strlen(text);
    reading->part = PART_TAIL;
}

static size_t feed_exact(struct reading *reading, const char **expected, const char *bytes,
                         size_t count)
{
    size_t taken = reading->left < count ? reading->left : count;

    if (memcmp(*expected, bytes, taken) != 0)
        wrong("not the bytes that belong here", bytes, count);
    *expected += taken;
    reading->left -= taken;
    return taken;
}

static void feed(void *context, unsigned connection, const char *bytes, size_t count)
{
    struct mcload *self = context;
    struct reading *reading = &self->readings[connection];

    while (count > 0) {
        unsigned index = load_current(self->load, connection);
        const struct request *request = &self->requests[connection * self->depth + index];
        unsigned values = request->kind == KIND_GET ? self->many : 0;
        size_t taken = 0;

        switch (reading->part) {
        case PART_BEGIN:
            reading->values = 0;
            reading->part = PART_HEAD;
            /* A set that may answer a miss of the run before is not always kept. */
            if (request->kind == KIND_DELETE && self->mix == MIX_FILL && bytes[0] == 'N')
                expect_tail(reading, "NOT_FOUND\r\n");
            else if (request->kind != KIND_GET)
                expect_tail(reading, request->kind == KIND_SET      ? "STORED\r\n"
                                     : request->kind == KIND_DELETE ? "DELETED\r\n"
                                                                    : "END\r\n");
            break;
        case PART_HEAD:
            taken = feed_head(self, reading, request->first, bytes, count);
            break;
        case PART_VALUE:
            taken = feed_exact(reading, &reading->value, bytes, count);
            if (reading->left == 0)
                expect_tail(reading, ++reading->values == values ? "\r\nEND\r\n" : "\r\n");
            break;
        case PART_TAIL:
            taken = feed_exact(reading, &reading->tail, bytes, count);
            if (reading->left != 0)
                break;
            reading->part = PART_HEAD;
            if (reading->values == values) {
                reading->part = PART_BEGIN;
                load_answered(self->load, connection);
            }
            break;
        }
        bytes += taken;
        count -= taken;
    }
}

static void prepare(struct mcload *self, const struct load_options *options)
{
    size_t span = self->value_size + PATTERN_STEP * PATTERN_STEPS;
    uint64_t random = 88172645463325252u;

    self->connections = options->connections;
    self->depth = options->depth;
    self->items = bench_allocate(self->keys, sizeof(*self->items));
    self->pattern = bench_allocate(1, span);
    self->requests =
        bench_allocate((size_t)options->connections * self->depth, sizeof(*self->requests));
    self->readings = bench_allocate(options->connections, sizeof(*self->readings));
    for (unsigned i = 0; i < options->connections; i++)
        self->readings[i].random = random + (uint64_t)i * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < span; i++)
        self->pattern[i] = (char)('!' + next_random(&random) % 90);
    for (unsigned i = 0; i < self->keys; i++) {
        struct item *item = &self->items[i];
        (void)snprintf(item->get, sizeof(item->get), " " KEY, i);
        (void)snprintf(item->delete, sizeof(item->delete), "delete " KEY, i);
        self->set_length = (size_t)snprintf(item->set, sizeof(item->set), "set " KEY " 0 0 %zu\r\n",
                                            i, self->value_size);
        self->head_length =
            (size_t)snprintf(item->head, sizeof(item->head), HEAD_FORMAT, i, self->value_size);
    }
}

static enum mix parse_mix(const char *text)
{
    if (strcmp(text, "get") == 0)
        return MIX_GET;
    if (strcmp(text, "set") == 0)
        return MIX_SET;
    if (strcmp(text, "mixed") == 0)
        return MIX_MIXED;
    if (strcmp(text, "delete") == 0)
        return MIX_DELETE;
    if (strcmp(text, "fill") == 0)
        return MIX_FILL;
    bench_fail("--mix: %s is none of get, set, mixed, delete, fill", text);
}

static const char usage[] =
    "usage: mcload OPTION...\n" LOAD_OPTIONS_USAGE
    "  --mix get|set|mixed|delete|fill  mixed is nine gets and a set; delete: set and delete in\n"
    "                                   turn; fill: set, delete, and a get that misses (get)\n"
    "  --size BYTES                     of a value (100)\n"
    "  --keys N                         different keys (1000)\n"
    "  --many N                         keys of one get (1)\n"
    "  --no-store                       do not store the keys first\n";

int main(int argc, char **argv)
{
    struct load_options options = {
        .connections = 1, .depth = 1, .warm_up = UINT64_MAX, .max_seconds = 120
    };
    struct mcload self = { .keys = 1000, .many = 1, .value_size = 100 };
    struct load_protocol protocol = { .compose = compose, .feed = feed, .self = &self };
    bool store = true;

    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--gate") == 0) {
            options.gate = true;
        } else if (strcmp(name, "--no-store") == 0) {
            store = false;
        } else if (strcmp(name, "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        } else {
            if (strcmp(name, "--mix") == 0)
                self.mix = parse_mix(value);
            else if (strcmp(name, "--size") == 0)
                self.value_size = bench_number(name, value, 1, 1 << 20);
            else if (strcmp(name, "--keys") == 0)
                self.keys = (unsigned)bench_number(name, value, 1, 10000000);
            else if (strcmp(name, "--many") == 0)
                self.many = (unsigned)bench_number(name, value, 1, MANY_MAX);
            else if (!load_option(&options, name, value))
                bench_fail("%s: no such option", name);
            i++;
        }
    }
    if (self.many > self.keys)
        bench_fail("--many: more than --keys");
    if (self.mix >= MIX_DELETE && options.connections > self.keys)
        bench_fail("--keys: each connection needs one of its own");
    prepare(&self, &options);
    protocol.request_max = self.set_length + self.value_size + 2;
    if (protocol.request_max < 5 + (KEY_LENGTH + 1) * (size_t)self.many)
        protocol.request_max = 5 + (KEY_LENGTH + 1) * (size_t)self.many;
    self.load = load_create(&options, &protocol);
    if (store) {
        self.storing = true;
        load_phase(self.load, 1, options.depth, self.keys);
        self.storing = false;
    }
    load_run(self.load);
    load_destroy(self.load);
    free(self.items);
    free(self.pattern);
    free(self.requests);
    free(self.readings);
    return 0;
}
