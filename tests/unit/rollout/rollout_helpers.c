#include "rollout_helpers.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config_identity identity = { IDENTITY_HEADER, (char *)"X-User-Id" };

void bed_configure(struct bed *bed)
{
    static const struct {
        const char *name;
        uint32_t percent;
    } stages[STAGES] = { { "developers", 0 },
                         { "employees", 0 },
                         { "canary", 1000 },
                         { "early", 20 * PERCENT_ONE },
                         { "everyone", PERCENT_ALL } };

    memset(bed->arms, 0, sizeof(bed->arms));
    memset(bed->stages, 0, sizeof(bed->stages));
    bed->arms[0].name = (char *)"py2";
    bed->arms[1].name = (char *)"py3";
    bed->arms[2].name = (char *)"py4";
    for (int i = 0; i < 3; i++)
        bed->arms[i].backend_count = 1; /* only counted */
    for (int i = 0; i < STAGES; i++) {
        bed->stages[i].name = (char *)(uintptr_t)stages[i].name;
        bed->stages[i].percent = stages[i].percent;
        bed->stages[i].percent_given = true;
    }
    bed->stages[3].bake = 7200u * 1000000ull;
    bed->config = (struct config){
        .arms = bed->arms,
        .arm_count = 3,
        .web = { .present = true },
        .rollout = { .present = true,
                     .name = (char *)"python3",
                     .from = 0,
                     .to = 1,
                     .salt = (char *)"change-me-once",
                     .identities = &identity,
                     .identity_count = 1,
                     .stages = bed->stages,
                     .stage_count = STAGES },
        .process = { .state_dir = bed->state_dir },
    };
}

void bed_make(struct bed *bed)
{
    const char *tmp = getenv("TMPDIR");

    memset(bed, 0, sizeof(*bed));
    (void)snprintf(bed->folder, sizeof(bed->folder), "%.32s/rollout-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(bed->folder));
    (void)snprintf(bed->state_dir, sizeof(bed->state_dir), "%s/state", bed->folder);
    bed_configure(bed);
}

void bed_open(struct bed *bed)
{
    bed->rollout = rollout_open(&bed->config, bed->text, sizeof(bed->text));
    cr_assert_not_null(bed->rollout, "%s", bed->text);
}

void bed_reopen(struct bed *bed)
{
    rollout_close(bed->rollout);
    bed_open(bed);
}

static void empty(const char *folder)
{
    DIR *entries = opendir(folder);
    struct dirent *entry;
    char path[512];

    if (entries == NULL)
        return;
    while ((entry = readdir(entries)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (unlink(path) != 0)
            empty(path);
    }
    (void)closedir(entries);
    (void)rmdir(folder);
}

void bed_remove(struct bed *bed)
{
    rollout_close(bed->rollout);
    bed->rollout = NULL;
    empty(bed->folder);
    cr_assert_neq(access(bed->folder, F_OK), 0);
}

static enum rollout_verdict ask(struct bed *bed, struct rollout_request request)
{
    enum rollout_verdict verdict;

    memset(bed->text, 0, sizeof(bed->text));
    request.by = "uid 0 (pid 1)";
    verdict = rollout_apply(bed->rollout, &request, bed->text, sizeof(bed->text));
    cr_assert_gt(strlen(bed->text), 10, "every answer is a sentence");
    return verdict;
}

enum rollout_verdict bed_do(struct bed *bed, enum rollout_verb verb, const char *reason)
{
    return ask(bed, (struct rollout_request){ .verb = verb, .reason = reason });
}

enum rollout_verdict bed_percent(struct bed *bed, uint32_t percent)
{
    return ask(bed, (struct rollout_request){ .verb = ROLLOUT_PERCENT, .percent = percent });
}

static void must(struct bed *bed, enum rollout_verb verb)
{
    cr_assert_eq(bed_do(bed, verb, "to get there"), ROLLOUT_DONE, "%s", bed->text);
}

void bed_bring(struct bed *bed, enum rollout_state state)
{
    if (state == ROLLOUT_IDLE)
        return;
    must(bed, ROLLOUT_START);
    must(bed, ROLLOUT_ADVANCE);
    must(bed, ROLLOUT_ADVANCE);
    if (state == ROLLOUT_PAUSED)
        must(bed, ROLLOUT_PAUSE);
    if (state == ROLLOUT_HELD)
        must(bed, ROLLOUT_HOLD);
    if (state == ROLLOUT_ABORTED)
        must(bed, ROLLOUT_ABORT);
    if (state == ROLLOUT_PROMOTED)
        must(bed, ROLLOUT_PROMOTE);
    cr_assert_eq(rollout_status(bed->rollout)->state, state);
}

const char *bed_path(const struct bed *bed, const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", bed->state_dir, name);
    return path;
}

void bed_write(const struct bed *bed, const char *name, const char *text)
{
    FILE *file = fopen(bed_path(bed, name), "w");

    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

char *bed_read(const struct bed *bed, const char *name)
{
    FILE *file = fopen(bed_path(bed, name), "r");
    char *text = calloc(1, 1u << 20);

    cr_assert(text != NULL && file != NULL, "%s", name);
    cr_assert_lt(fread(text, 1, 1u << 20, file), 1u << 20);
    (void)fclose(file);
    return text;
}

json_t *bed_audit(const struct bed *bed)
{
    char *text = bed_read(bed, "audit.log");
    json_t *lines = json_array();
    char *at = text;

    while (*at != '\0') {
        char *end = strchr(at, '\n');
        cr_assert_not_null(end, "the last line is ended: %s", at);
        json_t *line = json_loadb(at, (size_t)(end - at), JSON_REJECT_DUPLICATES, NULL);
        cr_assert(json_is_object(line), "%s", at);
        cr_assert_eq(json_object_size(line) - (json_object_get(line, "of") != NULL), 9);
        json_array_append_new(lines, line);
        at = end + 1;
    }
    free(text);
    return lines;
}

const char *line_text(const json_t *line, const char *name)
{
    return json_string_value(json_object_get(line, name));
}
