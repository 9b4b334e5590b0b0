#include "crossfade/route/identity.h"

/*
 * From left to right; where a part does not fit, the last * takes one byte more. An earlier * need
 * not be tried again: what follows it was found as far to the left as it can be.
 */
bool identity_match(struct slice pattern, struct slice text)
{
    size_t at = 0; /* in the pattern */
    size_t i = 0;  /* in the text */
    size_t star = SIZE_MAX;
    size_t taken = 0; /* where in the text the part behind the last * began */

    while (i < text.len) {
        if (at < pattern.len && pattern.data[at] == '*') {
            star = at++;
            taken = i;
        } else if (at < pattern.len && pattern.data[at] == text.data[i]) {
            at++;
            i++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            i = ++taken;
        } else {
            return false;
        }
    }
    while (at < pattern.len && pattern.data[at] == '*')
        at++;
    return at == pattern.len;
}

static bool matches(const char *pattern, struct slice text)
{
    return text.data != NULL && identity_match(slice_string(pattern), text);
}

static bool entry_matches(const struct config_client *entry, const struct identity *identity)
{
    switch (entry->test) {
    case CLIENT_USER:
        return matches(entry->user, identity->user);
    case CLIENT_CERTIFICATE:
        return identity->has_name != NULL &&
               identity->has_name(identity->certificate, slice_string(entry->certificate));
    case CLIENT_UID:
        return identity->uid >= 0 && identity->uid == entry->uid;
    case CLIENT_EXECUTABLE:
        return matches(entry->executable, identity->executable);
    }
    return false;
}

size_t identity_entry(const struct config_listener *listener, const struct identity *identity)
{
    size_t i = 0;

    while (i < listener->client_count && !entry_matches(&listener->clients[i], identity))
        i++;
    return i;
}

unsigned identity_arm(const struct config_listener *listener, size_t entry)
{
    return entry < listener->client_count ? listener->clients[entry].arm : listener->arm;
}

bool identity_asks(const struct config_listener *listener, enum config_client_test test)
{
    for (size_t i = 0; i < listener->client_count; i++)
        if (listener->clients[i].test == test)
            return true;
    return false;
}
