#include "loading.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

const char base_text[] = "arms:\n"                                                    /* 1 */
                         "  - { name: py2, namespace: \"\" }\n"                       /* 2 */
                         "  - { name: py3, backends: [ \"127.0.0.1:8003\" ] }\n"      /* 3 */
                         "cache:\n"                                                   /* 4 */
                         "  listen: [ { address: \"127.0.0.1:11212\", arm: py2 } ]\n" /* 5 */
                         "  servers: [ \"127.0.0.1:11211\" ]\n";                      /* 6 */

const char rollout_text[] =
    "arms:\n"
    "  - { name: py2, namespace: \"\", backends: [ \"127.0.0.1:8002\" ] }\n"
    "  - { name: py3, backends: [ \"127.0.0.1:8003\" ] }\n"
    "web: { listen: [ { address: \"127.0.0.1:8080\" } ] }\n"
    "rollout:\n"
    "  name: python3\n"
    "  from: py2\n"
    "  to: py3\n"
    "  salt: pepper\n"
    "  identity: [ \"cookie:uid\" ]\n"
    "  lists: { employees: [ { header: \"X-Employee: 1\" }, { cookie: staff } ] }\n"
    "  stages:\n";

static char *join(const char *a, const char *b)
{
    char *text = malloc(strlen(a) + strlen(b) + 1);
    cr_assert_not_null(text);
    strcpy(text, a);
    strcat(text, b);
    return text;
}

struct config *load_good(const char *base, const char *more)
{
    char *text = join(base, more);
    struct config_faults faults;
    struct config *config = config_load_text("test.yaml", text, strlen(text), &faults);

    cr_assert_not_null(config, "%s", faults.count > 0 ? faults.faults[0].text : "no fault");
    cr_assert_eq(faults.count, 0);
    config_faults_free(&faults);
    free(text);
    return config;
}

void expect_fault(const char *text, unsigned line, unsigned column, const char *part)
{
    struct config_faults faults;
    struct config *config = config_load_text("test.yaml", text, strlen(text), &faults);

    cr_assert_null(config, "this loads:\n%s", text);
    cr_expect_eq(faults.count, 1, "%zu faults, the second: %s", faults.count,
                 faults.count > 1 ? faults.faults[1].text : "");
    cr_expect_not_null(strstr(faults.faults[0].text, part), "%s", faults.faults[0].text);
    cr_expect_eq(faults.faults[0].line, line, "line %u: %s", faults.faults[0].line,
                 faults.faults[0].text);
    cr_expect_eq(faults.faults[0].column, column, "column %u: %s", faults.faults[0].column,
                 faults.faults[0].text);
    config_faults_free(&faults);
}

void expect_fault_among(const char *text, unsigned line, const char *part)
{
    struct config_faults faults;
    struct config *config = config_load_text("test.yaml", text, strlen(text), &faults);
    bool found = false;

    cr_assert_null(config);
    for (size_t i = 0; i < faults.count; i++)
        found |= faults.faults[i].line == line && strstr(faults.faults[i].text, part) != NULL;
    cr_expect(found, "no such fault on line %u: %s (the first: %s)", line, part,
              faults.faults[0].text);
    config_faults_free(&faults);
}
