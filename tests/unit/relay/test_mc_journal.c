/* The journal's file, what is taken over from it, and what two threads make of one. */
#include "crossfade/base/clock.h"
#include "crossfade/relay/mc_journal.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGE SECONDS(86400)

static char folder[64];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/crossfade-journal-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

static struct mc_journal *open_journal(size_t slots)
{
    struct mc_journal *journal = mc_journal_open(folder, journal_size_for(slots), AGE);

    cr_assert_not_null(journal);
    return journal;
}

static struct mc_owed *owed_to(struct mc_journal *journal, const char *name)
{
    struct mc_owed *owed = mc_journal_owed(journal, name);

    cr_assert_not_null(owed);
    return owed;
}

/* Takes all that waits: their keys, separated by blanks; `done`: they are answered. */
static void take_all(struct mc_journal *journal, struct mc_owed *owed, bool done, char *out)
{
    uint32_t slot;

    out[0] = '\0';
    cr_assert(mc_journal_claim(owed));
    cr_assert_not(mc_journal_claim(owed));
    slot = mc_journal_take(journal, owed);
    while (slot != MC_JOURNAL_NONE) {
        uint32_t next = mc_journal_next(journal, slot);
        struct journal_entry entry;
        mc_journal_read(journal, slot, &entry);
        (void)sprintf(out + strlen(out), "%.*s ", (int)entry.wire_len, entry.wire);
        if (done)
            mc_journal_done(journal, owed, slot);
        else
            mc_journal_put_back(journal, owed, slot);
        slot = next;
    }
    mc_journal_unclaim(owed);
}

static const struct key_place fanout = { .scope = SCOPE_ISOLATED, .coherence = COHERENCE_FANOUT };
static const struct key_place epoch = { .scope = SCOPE_ISOLATED, .coherence = COHERENCE_EPOCH };
static const struct key_place shared = { .scope = SCOPE_SHARED, .coherence = COHERENCE_NONE };

TestSuite(mc_journal, .init = make_folder, .fini = remove_folder);

Test(mc_journal, the_gate_is_closed_as_long_as_something_waits)
{
    struct mc_journal *journal = open_journal(8);
    struct mc_owed *one = owed_to(journal, "one:11211");
    struct mc_owed *two = owed_to(journal, "two:11211");
    char keys[512];

    cr_expect_eq(owed_to(journal, "one:11211"), one);
    cr_expect_not(mc_owed_closed(one, &fanout));
    cr_expect(mc_journal_add(journal, one, 0, SLICE("a")));
    cr_expect(mc_journal_add(journal, one, 1, SLICE("b")));
    cr_expect(mc_owed_closed(one, &fanout));
    cr_expect(mc_owed_closed(one, &epoch));
    cr_expect_not(mc_owed_closed(one, &shared));
    cr_expect_not(mc_owed_closed(two, &fanout));
    take_all(journal, one, false, keys);
    cr_expect_str_eq(keys, "a b ");
    cr_expect(mc_owed_closed(one, &epoch));
    take_all(journal, one, true, keys);
    cr_expect_not(mc_owed_closed(one, &fanout));
    mc_owed_fence(one);
    cr_expect(mc_owed_closed(one, &epoch));
    cr_expect(mc_owed_fenced(one));
    mc_owed_unfence(one);
    cr_expect_not(mc_owed_closed(one, &epoch));
    mc_journal_close(journal);
}

Test(mc_journal, what_is_not_done_is_there_after_the_end_in_its_order)
{
    struct mc_journal *journal = open_journal(8);
    struct mc_owed *owed = owed_to(journal, "one:11211");
    char keys[512];

    cr_expect(mc_journal_add(journal, owed, 0, SLICE("done")));
    take_all(journal, owed, true, keys);
    cr_expect(mc_journal_add(journal, owed, 0, SLICE("a")));
    cr_expect(mc_journal_add(journal, owed_to(journal, "two:11211"), 0, SLICE("c")));
    cr_expect(mc_journal_add(journal, owed, 1, SLICE("b")));
    for (int i = 0; i < 2; i++) { /* the second time with another size */
        mc_journal_close(journal);
        journal = open_journal(8 + 8 * (size_t)i);
        owed = owed_to(journal, "one:11211");
        cr_expect_eq(mc_owed_pending(owed), 2);
        cr_expect(mc_owed_closed(owed, &epoch));
        take_all(journal, owed, false, keys);
        cr_expect_str_eq(keys, "a b ");
        cr_expect_eq(atomic_load(&owed->floor), 0);
    }
    take_all(journal, owed_to(journal, "two:11211"), false, keys);
    cr_expect_str_eq(keys, "c ");
    mc_journal_close(journal);
}

Test(mc_journal, slots_are_used_again_and_again)
{
    struct mc_journal *journal = open_journal(3);
    struct mc_owed *owed = owed_to(journal, "one:11211");
    char keys[512];

    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        cr_expect(mc_journal_add(journal, owed, 0, slice_string(key)));
        if (i % 3 == 2)
            take_all(journal, owed, true, keys);
    }
    cr_expect_eq(mc_owed_pending(owed), 1);
    cr_expect_eq(atomic_load(&owed->floor), 0);
    mc_journal_close(journal);
}

Test(mc_journal, an_entry_without_room_leaves_a_floor_that_lasts)
{
    struct mc_journal *journal;
    struct mc_owed *owed;
    char keys[512];

    clock_fake(SECONDS(50), SECONDS(1000));
    journal = open_journal(1);
    owed = owed_to(journal, "one:11211");
    cr_expect(mc_journal_add(journal, owed, 0, SLICE("a")));
    cr_expect_not(mc_journal_add(journal, owed, 0, SLICE("b")));
    take_all(journal, owed, true, keys);
    for (int i = 0; i < 2; i++) {
        cr_expect(mc_owed_closed(owed, &fanout));
        cr_expect_not(mc_owed_closed(owed, &epoch));
        cr_expect(mc_owed_forgot(owed, 999));
        cr_expect(mc_owed_forgot(owed, 1000 + MC_JOURNAL_MARGIN - 1));
        cr_expect_not(mc_owed_forgot(owed, 1000 + MC_JOURNAL_MARGIN));
        cr_expect(mc_owed_forgot(owed, 1000 + MC_JOURNAL_MARGIN + 1));
        mc_journal_close(journal);
        journal = open_journal(1);
        owed = owed_to(journal, "one:11211");
    }
    cr_expect_not(mc_journal_forget_lost(journal, "two:11211"));
    cr_expect(mc_journal_forget_lost(journal, "one:11211"));
    cr_expect_not(mc_journal_forget_lost(journal, "one:11211"));
    cr_expect_not(mc_owed_closed(owed, &fanout));
    cr_expect_not(mc_owed_forgot(owed, 0));
    mc_journal_close(journal);
    journal = open_journal(1);
    cr_expect_eq(atomic_load(&owed_to(journal, "one:11211")->floor), 0);
    mc_journal_close(journal);
    clock_fake(0, 0);
}

Test(mc_journal, what_is_too_old_leaves_a_floor)
{
    struct mc_journal *journal;
    struct mc_owed *owed;
    char keys[512];

    clock_fake(SECONDS(50), SECONDS(1000));
    journal = open_journal(4);
    owed = owed_to(journal, "one:11211");
    cr_expect(mc_journal_add(journal, owed, 0, SLICE("a")));
    clock_fake(SECONDS(50), SECONDS(1000) + AGE);
    cr_expect(mc_journal_add(journal, owed, 0, SLICE("b")));
    mc_journal_tick(journal);
    cr_expect_eq(mc_owed_pending(owed), 2);
    clock_fake(SECONDS(50), SECONDS(1001) + AGE);
    mc_journal_tick(journal);
    take_all(journal, owed, false, keys);
    cr_expect_str_eq(keys, "b ");
    cr_expect_neq(atomic_load(&owed->floor), 0);
    mc_journal_close(journal);
    clock_fake(0, 0);
}

Test(mc_journal, a_process_that_has_not_ended_yet_keeps_its_file)
{
    struct mc_journal *before = open_journal(4);
    struct mc_journal *after;
    char keys[512];

    cr_expect(mc_journal_add(before, owed_to(before, "one:11211"), 0, SLICE("a")));
    after = open_journal(4);
    cr_expect_eq(mc_owed_pending(owed_to(after, "one:11211")), 0);
    cr_expect(mc_journal_add(before, owed_to(before, "one:11211"), 0, SLICE("b")));
    mc_journal_close(before);
    mc_journal_tick(after);
    take_all(after, owed_to(after, "one:11211"), false, keys);
    cr_expect_str_eq(keys, "a b ");
    mc_journal_close(after);
    after = open_journal(4);
    cr_expect_eq(mc_owed_pending(owed_to(after, "one:11211")), 2);
    mc_journal_close(after);
}

/* -- Damage -- */

static char *read_whole(const char *path, size_t *len)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    char *bytes;

    cr_assert(fd >= 0 && fstat(fd, &status) == 0);
    *len = (size_t)status.st_size;
    bytes = malloc(*len);
    cr_assert_eq(read(fd, bytes, *len), status.st_size);
    (void)close(fd);
    return bytes;
}

static void write_whole(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    (void)close(fd);
}

/* Whatever is missing of it: an entry is there, or the server has a floor. */
static void expect_nothing_silent(const char *path, const char *bytes, size_t len)
{
    struct mc_journal *journal;
    struct mc_owed *owed;

    write_whole(path, bytes, len);
    journal = open_journal(4);
    owed = owed_to(journal, "one:11211");
    cr_expect(mc_owed_pending(owed) == 3 || atomic_load(&owed->floor) != 0, "%zu bytes", len);
    cr_expect_leq(mc_owed_pending(owed), 3);
    mc_journal_close(journal);
}

Test(mc_journal, a_file_that_was_cut_anywhere_is_not_silent, .timeout = 60)
{
    char path[128];
    struct mc_journal *journal = open_journal(4);
    struct mc_owed *owed = owed_to(journal, "one:11211");
    char *bytes;
    size_t len;
    size_t slots = journal_size_for(0);

    for (int i = 0; i < 3; i++)
        cr_expect(mc_journal_add(journal, owed, 0, SLICE("some:key")));
    mc_journal_close(journal);
    (void)snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, folder);
    bytes = read_whole(path, &len);
    expect_nothing_silent(path, bytes, len);
    for (size_t cut = 0; cut < len; cut += cut < 700 || cut >= slots ? 7 : 4099)
        expect_nothing_silent(path, bytes, cut);
    free(bytes);
}

Test(mc_journal, images_can_be_cut_at_every_byte)
{
    char path[128];
    struct mc_journal *journal = open_journal(4);
    struct journal_image image;
    struct journal_entry entry;
    char name[JOURNAL_NAME];
    uint64_t floor;
    char *bytes;
    size_t len;

    cr_expect(mc_journal_add(journal, owed_to(journal, "one:11211"), 1, SLICE("some:key")));
    mc_journal_close(journal);
    (void)snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, folder);
    bytes = read_whole(path, &len);
    for (size_t cut = 0; cut <= len; cut++) {
        char *copy = malloc(cut + 1);
        struct slice part = slice_of(copy, cut);
        memcpy(copy, bytes, cut);
        if (journal_image_open(part, &image)) {
            cr_expect_eq(image.whole, cut == len);
            (void)!journal_image_server(part, 0, name, &floor);
            for (size_t i = 0; i <= image.slots; i++)
                (void)!journal_image_slot(part, i, &entry);
        }
        free(copy);
    }
    cr_expect_eq(journal_image_slot(slice_of(bytes, len), 0, &entry), JOURNAL_SLOT_USED);
    cr_expect_eq(entry.dialect, 1);
    free(bytes);
}

Test(mc_journal, a_bit_that_was_turned_in_an_entry_is_found)
{
    char path[128];
    struct mc_journal *journal = open_journal(4);
    struct journal_entry entry;
    char *bytes;
    size_t len;
    size_t at = journal_size_for(0);

    cr_expect(mc_journal_add(journal, owed_to(journal, "one:11211"), 0, SLICE("some:key")));
    mc_journal_close(journal);
    (void)snprintf(path, sizeof(path), "%s/" JOURNAL_FILE, folder);
    bytes = read_whole(path, &len);
    for (size_t bit = 0; bit < 8 * (size_t)(4 * 8 + 8); bit++) {
        bytes[at + bit / 8] = (char)(bytes[at + bit / 8] ^ 1 << bit % 8);
        cr_expect_eq(journal_image_slot(slice_of(bytes, len), 0, &entry), JOURNAL_SLOT_DAMAGED,
                     "bit %zu", bit);
        bytes[at + bit / 8] = (char)(bytes[at + bit / 8] ^ 1 << bit % 8);
    }
    free(bytes);
}

Test(mc_journal, without_a_folder_it_is_in_memory)
{
    struct mc_journal *journal = mc_journal_open(NULL, journal_size_for(4), AGE);
    char keys[512];

    cr_assert_not_null(journal);
    cr_expect(mc_journal_add(journal, owed_to(journal, "one:11211"), 0, SLICE("a")));
    take_all(journal, owed_to(journal, "one:11211"), true, keys);
    cr_expect_str_eq(keys, "a ");
    mc_journal_tick(journal);
    mc_journal_close(journal);
}

/* -- Threads -- */

#define EACH 20000

struct writer {
    struct mc_journal *journal;
    struct mc_owed *owed;
    unsigned added;
};

static void *write_entries(void *context)
{
    struct writer *writer = context;

    for (unsigned i = 0; i < EACH; i++)
        writer->added += mc_journal_add(writer->journal, writer->owed, 0, SLICE("some:key"));
    return NULL;
}

Test(mc_journal, two_that_add_and_one_that_takes, .timeout = 60)
{
    struct mc_journal *journal = open_journal(64);
    struct mc_owed *owed = owed_to(journal, "one:11211");
    struct writer writers[2] = { { journal, owed, 0 }, { journal, owed, 0 } };
    pthread_t threads[2];
    unsigned taken = 0;

    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_entries, &writers[i]), 0);
    for (int round = 0; round < 20000; round++) {
        uint32_t slot;
        if (!mc_journal_claim(owed))
            continue;
        slot = mc_journal_take(journal, owed);
        while (slot != MC_JOURNAL_NONE) {
            uint32_t next = mc_journal_next(journal, slot);
            struct journal_entry entry;
            mc_journal_read(journal, slot, &entry);
            cr_assert(slice_equal(slice_of(entry.wire, entry.wire_len), SLICE("some:key")));
            mc_journal_done(journal, owed, slot);
            taken++;
            slot = next;
        }
        mc_journal_unclaim(owed);
    }
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect_eq(taken + mc_owed_pending(owed), writers[0].added + writers[1].added);
    cr_expect_eq(atomic_load(&owed->overflows) + writers[0].added + writers[1].added, 2 * EACH);
    mc_journal_close(journal);
}
