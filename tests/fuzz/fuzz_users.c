/*
 * The readers of the files that hold who may log in: any text gives users who are found, or at
 * least one fault, and no fault shows what may be a password.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/conf/credentials.h"
#include "crossfade/conf/users.h"

#include <string.h>

static void look_up(const struct users *users, struct slice text)
{
    struct slice name = slice_of(text.data, slice_find(text, ':'));
    const char *hash = users_hash(users, name);
    struct why why;

    if (hash != NULL)
        ensure(password_hash_check(slice_string(hash), &why));
    ensure(password_hash_check(slice_string(users_decoy(users)), &why));
    ensure(users_count(users) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = size > 0 ? (const char *)data : "";
    struct config_faults faults;
    struct credentials credentials;
    struct users *users = users_parse(text, size, &faults);

    ensure((users == NULL) == (faults.count > 0));
    if (users != NULL)
        look_up(users, slice_of(text, size));
    users_free(users);
    config_faults_free(&faults);

    if (credentials_parse(text, size, &credentials, &faults)) {
        ensure(faults.count == 0 && credentials.user[0] != '\0' && credentials.password[0] != '\0');
        ensure(strlen(credentials.user) <= CREDENTIAL_MAX);
        ensure(strlen(credentials.password) <= CREDENTIAL_MAX);
    } else {
        ensure(faults.count > 0);
    }
    config_faults_free(&faults);
    return 0;
}
