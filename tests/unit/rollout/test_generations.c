#include "crossfade/rollout/generations.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char error[512];

static void setup(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/crossfade-generations-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/" GENERATIONS_FILE, folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/" GENERATIONS_FILE ".new", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

TestSuite(generations, .init = setup, .fini = teardown);

static struct generations *open_again(struct generations *generations)
{
    generations_close(generations);
    generations = generations_open(folder, error, sizeof(error));
    cr_assert_not_null(generations, "%s", error);
    return generations;
}

static uint64_t of(const struct generations *generations, const char *name)
{
    char *text = (char *)(uintptr_t)name;
    struct config_arm arm = { .name = text, .namespace = text };
    struct config config = { .arms = &arm, .arm_count = 1 };
    uint64_t out;

    generations_fill(generations, &config, &out);
    return out;
}

static const struct config_arm *named(const char *name, const char *namespace)
{
    static struct config_arm arm;

    arm.name = (char *)(uintptr_t)name;
    arm.namespace = (char *)(uintptr_t) namespace;
    return &arm;
}

/* With its name for a namespace. */
static const struct config_arm *arm(const char *name)
{
    return named(name, name);
}

/* Of an arm with that namespace. */
static uint64_t in(const struct generations *generations, const char *name, const char *namespace)
{
    struct config_arm arm = { .name = (char *)(uintptr_t)name,
                              .namespace = (char *)(uintptr_t) namespace };
    struct config config = { .arms = &arm, .arm_count = 1 };
    uint64_t out;

    generations_fill(generations, &config, &out);
    return out;
}

Test(generations, go_on_under_another_name_of_the_namespace)
{
    struct generations *generations = open_again(NULL);
    uint64_t begun;

    cr_assert_eq(in(generations, "py3", "new"), 0);
    cr_assert(generations_begin(generations, named("py3", "new"), &begun, error, sizeof(error)));
    cr_assert(generations_begin(generations, named("py3", "new"), &begun, error, sizeof(error)));
    cr_assert_eq(begun, 2);
    generations = open_again(generations);
    cr_assert_eq(in(generations, "other", "py3"), 0, "that is the arm's name");
    cr_assert_eq(in(generations, "py3-again", "new"), 2);
    cr_assert(
        generations_begin(generations, named("py3-again", "new"), &begun, error, sizeof(error)));
    cr_assert_eq(begun, 3);
    generations = open_again(generations);
    cr_assert_eq(in(generations, "py3", "new"), 3, "and back");
    cr_assert_eq(in(generations, "empty", ""), 0);
    generations_close(generations);
}

Test(generations, that_begin_leave_a_flush_due)
{
    struct generations *generations = open_again(NULL);
    uint64_t begun;
    uint64_t due;

    cr_assert(generations_schedule(generations, arm("py3"), 77, error, sizeof(error)));
    cr_assert(generations_begin(generations, arm("py3"), &begun, error, sizeof(error)));
    generations = open_again(generations);
    cr_assert_str_eq(generations_next(generations, &due), "py3");
    cr_assert_eq(due, 77);
    cr_assert_eq(of(generations, "py3"), 1);
    generations_close(generations);
}

Test(generations, are_kept_for_every_arm_that_had_one)
{
    struct generations *generations = open_again(NULL);
    const char *next;
    uint64_t due;

    cr_assert_eq(of(generations, "py3"), 0);
    cr_assert(generations_raise(generations, arm("py3"), error, sizeof(error)));
    cr_assert(generations_raise(generations, arm("py3"), error, sizeof(error)));
    cr_assert(generations_raise(generations, arm("old"), error, sizeof(error)));
    generations = open_again(generations);
    cr_assert_eq(of(generations, "py3"), 2);
    cr_assert_eq(of(generations, "old"), 1);
    cr_assert_null(generations_next(generations, &due));
    cr_assert(generations_schedule(generations, arm("py3"), 2000, error, sizeof(error)));
    cr_assert(generations_schedule(generations, arm("old"), 1000, error, sizeof(error)));
    generations = open_again(generations);
    next = generations_next(generations, &due);
    cr_assert_str_eq(next, "old");
    cr_assert_eq(due, 1000);
    cr_assert(generations_raise(generations, arm("old"), error, sizeof(error)));
    next = generations_next(generations, &due);
    cr_assert_str_eq(next, "py3", "a raise fulfils the wish");
    generations_close(generations);
}

Test(generations, change_nothing_when_the_disk_refuses)
{
    struct generations *generations = open_again(NULL);
    char path[128];

    cr_assert(generations_raise(generations, arm("py3"), error, sizeof(error)));
    /* A folder is in the way of the file that is written first. */
    (void)snprintf(path, sizeof(path), "%s/" GENERATIONS_FILE ".new", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_not(generations_raise(generations, arm("py3"), error, sizeof(error)));
    cr_expect_not_null(strstr(error, "cannot be written"), "%s", error);
    cr_assert_eq(of(generations, "py3"), 1);
    generations = open_again(generations);
    cr_assert_eq(of(generations, "py3"), 1);
    generations_close(generations);
}

static void write_file(const char *text)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/" GENERATIONS_FILE, folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

Test(generations, a_file_that_cannot_be_read_is_never_guessed)
{
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{ \"format\": 2, \"arms\": {} }",
        "{ \"format\": 1 }",
        "{ \"format\": 1, \"arms\": [] }",
        "{ \"format\": 1, \"arms\": { \"a\": 1 } }",
        "{ \"format\": 1, \"arms\": { \"a\": { \"generation\": 1 } } }",
        "{ \"format\": 1, \"arms\": { \"a\": { \"generation\": -1, \"due\": 0 } } }",
        "{ \"format\": 1, \"arms\": { \"a\": { \"generation\": 1.5, \"due\": 0 } } }",
        "{ \"format\": 1, \"arms\": { \"a\": { \"generation\": 99999999, \"due\": 0 } } }",
    };

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        write_file(broken[i]);
        cr_expect_null(generations_open(folder, error, sizeof(error)), "%s", broken[i]);
        cr_expect_not_null(strstr(error, GENERATIONS_FILE), "the message names the file: %s",
                           error);
    }
    write_file("{ \"format\": 1, \"arms\": { \"a\": { \"generation\": 7, \"due\": 0 } } }");
    generations_close(open_again(NULL));
}

Test(generations, of_one_arm_are_bounded)
{
    struct generations *generations = open_again(NULL);
    char text[128];

    (void)snprintf(text, sizeof(text),
                   "{ \"format\": 1, \"arms\": { \"a\": { \"generation\": %u, \"due\": 0 } } }",
                   GENERATIONS_MAX);
    cr_assert(generations_parse(generations, slice_string(text), error, sizeof(error)));
    cr_assert_not(generations_raise(generations, arm("a"), error, sizeof(error)));
    cr_assert_eq(of(generations, "a"), GENERATIONS_MAX);
    generations_close(generations);
}
