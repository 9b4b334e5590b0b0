/* Lines of the control socket: what is taken apart fits, has no control byte, and survives quoting.
 */
#include "fuzz.h"

#include "crossfade/proto/control_commands.h"
#include "crossfade/proto/control_line.h"

#include <string.h>

static void check_word(const char *word)
{
    static struct control_words again;
    char quoted[2 * CONTROL_LINE_MAX + 3];
    size_t len = control_line_quote(word, quoted, sizeof(quoted));
    struct slice rest = slice_of(quoted, len);
    const char *why;

    for (const char *c = word; *c != '\0'; c++)
        ensure((unsigned char)*c >= 0x20 && *c != 0x7f);
    ensure(len >= 2);
    if (len > CONTROL_LINE_MAX)
        return;
    ensure(control_line_next(&rest, &again, &why) == CONTROL_LINE_OK);
    ensure(again.count == 1 && strcmp(again.word[0], word) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct control_words words;
    struct slice rest = slice_of((const char *)data, size);
    const char *why = NULL;
    enum control_line_verdict verdict;
    enum control_code code;

    while ((verdict = control_line_next(&rest, &words, &why)) == CONTROL_LINE_OK) {
        unsigned used = 0;
        const char *nearest;
        size_t room = 0;
        ensure(words.count > 0 && words.count <= CONTROL_WORDS_MAX);
        for (unsigned i = 0; i < words.count; i++) {
            ensure(words.word[i] >= words.storage);
            room += strlen(words.word[i]) + 1;
            check_word(words.word[i]);
        }
        ensure(room <= sizeof(words.storage));
        if (control_command_find(words.word, words.count, &used, &nearest) >= 0)
            ensure(used >= 1 && used <= words.count && nearest == NULL);
    }
    ensure(rest.len == 0);
    ensure(verdict != CONTROL_LINE_BAD || why != NULL);
    (void)control_code_parse(slice_of((const char *)data, size), &code);
    return 0;
}
