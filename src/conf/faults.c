#include "faults.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Behind the faults: the line that there are more, then the text in reserve. */
#define SLOT_MORE FAULTS_MAX
#define SLOT_RESERVE (FAULTS_MAX + 1)
#define SLOTS (FAULTS_MAX + 2)

#define NO_MEMORY "out of memory while reading the configuration"

bool faults_begin(struct config_faults *faults)
{
    char *reserve = slice_dup(SLICE(NO_MEMORY));

    faults->count = 0;
    faults->faults = calloc(SLOTS, sizeof(*faults->faults));
    if (faults->faults == NULL || reserve == NULL) {
        free(faults->faults);
        free(reserve);
        faults->faults = NULL;
        return false;
    }
    faults->faults[SLOT_RESERVE].text = reserve;
    return true;
}

void faults_no_memory(struct config_faults *faults)
{
    struct config_fault *reserve = &faults->faults[SLOT_RESERVE];

    /* Noted before when the reserve is gone. */
    if (reserve->text == NULL)
        return;
    size_t slot = faults->count < FAULTS_MAX ? faults->count++ : SLOT_MORE;
    free(faults->faults[slot].text);
    faults->faults[slot] = *reserve;
    reserve->text = NULL;
}

void faults_add(struct config_faults *faults, struct position at, const char *format, ...)
{
    size_t slot = faults->count < FAULTS_MAX ? faults->count : SLOT_MORE;
    struct config_fault *fault = &faults->faults[slot];
    va_list arguments;
    char *text;
    int len;

    if (slot == SLOT_MORE) {
        if (fault->text == NULL)
            fault->text = slice_dup(SLICE("there are more faults than are shown here"));
        return;
    }
    va_start(arguments, format);
    len = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (len < 0) {
        faults_no_memory(faults);
        return;
    }
    *fault = (struct config_fault){ .line = at.line, .column = at.column, .text = text };
    faults->count++;
}

static bool is_before(const struct config_fault *a, const struct config_fault *b)
{
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

void faults_end(struct config_faults *faults)
{
    /* Insertion keeps the order of faults at one place; there are at most a hundred. */
    for (size_t i = 1; i < faults->count; i++) {
        struct config_fault fault = faults->faults[i];
        size_t at = i;
        for (; at > 0 && is_before(&fault, &faults->faults[at - 1]); at--)
            faults->faults[at] = faults->faults[at - 1];
        faults->faults[at] = fault;
    }
    free(faults->faults[SLOT_RESERVE].text);
    faults->faults[SLOT_RESERVE].text = NULL;
    if (faults->faults[SLOT_MORE].text != NULL)
        faults->count = FAULTS_MAX + 1;
}

void config_faults_free(struct config_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++)
        free(faults->faults[i].text);
    free(faults->faults);
    faults->faults = NULL;
    faults->count = 0;
}

void config_faults_print(const struct config_faults *faults, const char *path, FILE *out)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct config_fault *fault = &faults->faults[i];
        if (fault->line == 0)
            fprintf(out, "%s: %s\n", path, fault->text);
        else
            fprintf(out, "%s:%u:%u: %s\n", path, fault->line, fault->column, fault->text);
    }
}
