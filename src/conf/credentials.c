#include "crossfade/conf/credentials.h"

#include "faults.h"
#include "file.h"

#include <stdlib.h>
#include <sys/stat.h>

static const struct position whole_file = { 0, 0 };

static bool check_part(struct config_faults *faults, struct position at, const char *what,
                       struct slice part)
{
    if (part.len == 0 || part.len > CREDENTIAL_MAX) {
        faults_add(faults, at, "the line has a %s of %zu bytes; 1 to %u are allowed", what,
                   part.len, CREDENTIAL_MAX);
        return false;
    }
    for (size_t i = 0; i < part.len; i++) {
        if ((unsigned char)part.data[i] <= ' ' || part.data[i] == 0x7f) {
            faults_add(
                faults, at,
                "the line has white space or a control byte in the %s, which ASCII authentication "
                "cannot carry; choose another",
                what);
            return false;
        }
    }
    return true;
}

static void take_line(struct slice line, struct position at, struct credentials *out,
                      struct config_faults *faults)
{
    size_t colon = slice_find(line, ':');
    struct slice user = slice_of(line.data, colon);
    struct slice password;

    if (colon == line.len) {
        faults_add(faults, at, "the line has no colon; the line is USER:PASSWORD");
        return;
    }
    password = slice_of(line.data + colon + 1, line.len - colon - 1);
    if (out->user[0] != '\0') {
        faults_add(faults, at, "the line is a second one; one user can log in to the servers");
        return;
    }
    if (!check_part(faults, at, "user's name", user) ||
        !check_part(faults, (struct position){ at.line, (unsigned)colon + 2 }, "password",
                    password))
        return;
    memcpy(out->user, user.data, user.len);
    memcpy(out->password, password.data, password.len);
}

bool credentials_parse(const char *text, size_t len, struct credentials *out,
                       struct config_faults *faults)
{
    struct file_lines lines = { .rest = slice_of(text, len) };
    struct slice line;

    memset(out, 0, sizeof(*out));
    if (!faults_begin(faults))
        return false;
    while (len <= FILE_MAX && file_next_line(&lines, &line))
        if (line.len > 0 && line.data[0] != '#')
            take_line(line, (struct position){ lines.number, 1 }, out, faults);
    if (len > FILE_MAX)
        faults_add(faults, whole_file, "the file is larger than %zu bytes", FILE_MAX);
    else if (faults->count == 0 && out->user[0] == '\0')
        faults_add(faults, whole_file, "the file is empty; write one line, USER:PASSWORD");
    faults_end(faults);
    if (faults->count > 0)
        explicit_bzero(out, sizeof(*out));
    return faults->count == 0;
}

bool credentials_load(const char *path, struct credentials *out, bool *open,
                      struct config_faults *faults)
{
    struct stat found;
    bool ok = false;
    size_t len;
    char *text = file_load(path, FILE_REGULAR, &len, faults);

    *open = stat(path, &found) == 0 && (found.st_mode & S_IROTH) != 0;
    if (text != NULL)
        ok = credentials_parse(text, len, out, faults);
    file_forget(text, len);
    return ok;
}
