#include "crossfade/conf/credentials.h"
#include "crossfade/conf/users.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BCRYPT "$2b$05$8pHP5ZPtpBt0LRS7O73UVe67avl7.5uKofl7GSGbx4DPxPSkpPqA2"
#define SHA256 "$5$5XY8OTTy77zwffR3$VNqzZHBp7Nt25WXsHW4zPMEhTQWdYvAmRU1BKhsw.G/"
#define SHA512                                                                                     \
    "$6$LtzM8EZD1WaMVt1K$6J0GT/xlYFyHq0ouWk1IkHcFmVPQZSpbO5jR2WS404ccICbAe0UhXSeoIURX."            \
    "npC7VIok2uffgXb26QXthv/F0"
#define SCRYPT "$7$CU..../....QpHhVAstxXHXg2n/YWN4Y0$opLZhGRahMvJBPOIvPJ1EkeTxSLx5uZFKh5tCKNLs76"
#define YESCRYPT "$y$j9T$IsCozYvBaXAaPKEO.Vg.a1$MMa7pf1eXexo65Kisjscxm8zII.rwlhm/OqMOmPEUC5"
#define GOST "$gy$j9T$N6HLmY00JyRntst6BDtft/$rfEj1PFgXcIouKEM5oHEoG/q/7tOv9yDZYg1Hlho8w0"

static struct users *parse(const char *text, struct config_faults *faults)
{
    return users_parse(text, strlen(text), faults);
}

/* The file has exactly this fault. */
static void expect_fault(const char *text, unsigned line, unsigned column, const char *part)
{
    struct config_faults faults;

    cr_assert_null(parse(text, &faults), "%s", text);
    cr_assert_eq(faults.count, 1, "%zu faults: %s", faults.count, text);
    cr_assert_eq(faults.faults[0].line, line, "line %u: %s", faults.faults[0].line, text);
    cr_assert_eq(faults.faults[0].column, column, "column %u: %s", faults.faults[0].column, text);
    cr_assert_not_null(strstr(faults.faults[0].text, part), "%s", faults.faults[0].text);
    cr_assert_null(strstr(faults.faults[0].text, "hunter2"), "%s", faults.faults[0].text);
    config_faults_free(&faults);
}

Test(users, are_found_by_their_names)
{
    struct config_faults faults;
    struct users *users = parse("# who may log in\n"
                                "web3:" BCRYPT "\n"
                                "\n"
                                "a:" SHA512 "\r\n"
                                "web:" YESCRYPT "\n"
                                "\xc3\xa9:" SHA256, /* no newline at the end */
                                &faults);

    cr_assert_not_null(users);
    cr_assert_eq(faults.count, 0);
    cr_assert_eq(users_count(users), 4);
    cr_assert_str_eq(users_hash(users, SLICE("web3")), BCRYPT);
    cr_assert_str_eq(users_hash(users, SLICE("web")), YESCRYPT);
    cr_assert_str_eq(users_hash(users, SLICE("a")), SHA512);
    cr_assert_str_eq(users_hash(users, SLICE("\xc3\xa9")), SHA256);
    cr_assert_null(users_hash(users, SLICE("we")));
    cr_assert_null(users_hash(users, SLICE("web33")));
    cr_assert_null(users_hash(users, SLICE("")));
    cr_assert_null(users_hash(users, SLICE("# who may log in")));
    cr_assert_not_null(users_decoy(users));
    users_free(users);
    config_faults_free(&faults);
}

Test(users, faults_have_their_place)
{
    expect_fault("", 0, 0, "there is no user in it");
    expect_fault("# none\n\n", 0, 0, "there is no user in it");
    expect_fault("a:" BCRYPT "\nhunter2\n", 2, 1, "no colon");
    expect_fault(":" BCRYPT "\n", 1, 1, "a name of 0 bytes");
    expect_fault("a b:" BCRYPT "\n", 1, 1, "white space or a control byte in the user's name");
    expect_fault("a:" BCRYPT "\nb:" BCRYPT "\na:" SHA256 "\n", 3, 1,
                 "the user \"a\", who stands on line 1 already");
    expect_fault("bob:hunter2\n", 1, 5, "plain text; make the line with: htpasswd -nB USER");
    expect_fault("bob:\n", 1, 5, "plain text");
    expect_fault("bob:hunter2hunter\n", 1, 5, "is a DES hash or plain text");
    expect_fault("bob:_J9..WqHW8wiZX5KAX4w\n", 1, 5, "is a DES hash or plain text");
    expect_fault("bob:$1$x.Z89YcZ$1isnb.apAKOrMUlp3U.Ok1\n", 1, 5, "is an MD5 hash");
    expect_fault("bob:$apr1$x.Z89YcZ$1isnb.apAKOrMUlp3U.Ok1\n", 1, 5, "is an MD5 hash");
    expect_fault("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", 1, 5, "is a weak hash");
    expect_fault("bob:$3$$878d8014606cda29677a44efa1353fc7\n", 1, 5, "is a weak hash");
    expect_fault("bob:$argon2id$v=19$m=65536$x$y\n", 1, 5, "of a kind that is not known here");
    expect_fault("bob:" BCRYPT "x\n", 1, 5, "begins like a bcrypt hash, but is none");
    expect_fault("bob:$2y$4$abc\n", 1, 5, "begins like a bcrypt hash, but is none");
    expect_fault("bob:" BCRYPT " \n", 1, 5, "begins like a bcrypt hash, but is none");
    expect_fault("bob:$2\n", 1, 5, "not known here");
}

/* One login may not keep all others waiting. */
Test(users, hashes_that_take_seconds_are_refused)
{
    expect_fault("bob:$2b$15$8pHP5ZPtpBt0LRS7O73UVe67avl7.5uKofl7GSGbx4DPxPSkpPqA2\n", 1, 5,
                 "a cost of 15, so that one login would keep others waiting");
    expect_fault("bob:$5$rounds=1000001$5XY8OTTy77zwffR3$VNqzZHBp7Nt25WXsHW4zPMEhTQWdYvAmRU1BKhsw."
                 "G/\n",
                 1, 5, "a number of rounds of 1000001");
    expect_fault("bob:$y$jFT$q6L2VoKh/4IAhMYjs56JL.$Fgos7QPo7zL2AmQY9xSkzCoYXbFRZzTZ2KUi00Y87e5\n",
                 1, 5, "binary logarithm of N of 18");
    expect_fault("bob:$7$GU..../....nMf5lNO5H4aen..1P5yoG.$cu085TeO4."
                 "Qm3JgjKkaNIH4JNRoeB6pPU6g0h8De4t7\n",
                 1, 5, "binary logarithm of N of 18");
}

Test(users, every_strong_hash_is_taken_and_every_damaged_one_refused)
{
    static const char *const good[] = { BCRYPT, SHA256, SHA512, SCRYPT, YESCRYPT, GOST };
    struct why why;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct slice hash = slice_string(good[i]);
        cr_assert(password_hash_check(hash, &why), "%s: %s", good[i], why.text);
        for (size_t len = 0; len < hash.len; len++)
            cr_assert_not(password_hash_check(slice_of(hash.data, len), &why), "%.*s", (int)len,
                          hash.data);
        for (size_t at = 3; at < hash.len; at++) {
            char damaged[256];
            (void)snprintf(damaged, sizeof(damaged), "%s", good[i]);
            damaged[at] = ' ';
            cr_assert_not(password_hash_check(slice_string(damaged), &why), "%s", damaged);
        }
    }
    cr_assert(password_hash_check(
        SLICE("$5$rounds=1000$5XY8OTTy77zwffR3$VNqzZHBp7Nt25WXsHW4zPMEhTQWdYvAmRU1BKhsw.G/"),
        &why));
}

Test(users, all_faults_of_a_file_are_told_up_to_a_hundred)
{
    char *text = calloc(1, 8192);
    struct config_faults faults;

    for (int i = 0; i < 150; i++)
        (void)snprintf(text + strlen(text), 8192 - strlen(text), "user%d:hunter2\n", i);
    cr_assert_null(parse(text, &faults));
    cr_assert_geq(faults.count, 100);
    cr_assert_eq(faults.faults[41].line, 42);
    config_faults_free(&faults);
    free(text);
}

Test(users, come_from_a_file)
{
    char path[] = "/tmp/crossfade-users-XXXXXX";
    int fd = mkstemp(path);
    struct config_faults faults;
    struct users *users;

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "a:" BCRYPT "\n", sizeof(BCRYPT) + 2), sizeof(BCRYPT) + 2);
    close(fd);
    users = users_load(path, &faults);
    cr_assert_not_null(users);
    users_free(users);
    config_faults_free(&faults);
    unlink(path);
    cr_assert_null(users_load(path, &faults));
    cr_assert_eq(faults.count, 1);
    cr_assert_str_eq(faults.faults[0].text, "the file cannot be read: No such file or directory");
    config_faults_free(&faults);
}

static void expect_bad_login(const char *text, unsigned line, const char *part)
{
    struct credentials credentials;
    struct config_faults faults;

    cr_assert_not(credentials_parse(text, strlen(text), &credentials, &faults), "%s", text);
    cr_assert_eq(faults.count, 1);
    cr_assert_eq(faults.faults[0].line, line);
    cr_assert_not_null(strstr(faults.faults[0].text, part), "%s", faults.faults[0].text);
    cr_assert_null(strstr(faults.faults[0].text, "hunter2"), "%s", faults.faults[0].text);
    cr_assert_eq(credentials.password[0], '\0');
    config_faults_free(&faults);
}

Test(credentials, are_one_line)
{
    struct credentials credentials;
    struct config_faults faults;
    static const char text[] = "# for the servers\r\n\r\nweb:hunter2:with:colons\r\n";

    cr_assert(credentials_parse(text, strlen(text), &credentials, &faults));
    cr_assert_str_eq(credentials.user, "web");
    cr_assert_str_eq(credentials.password, "hunter2:with:colons");
    config_faults_free(&faults);
    expect_bad_login("", 0, "the file is empty");
    expect_bad_login("# x\n", 0, "the file is empty");
    expect_bad_login("\nhunter2\n", 2, "no colon");
    expect_bad_login("a:hunter2\nb:hunter2\n", 2, "a second one");
    expect_bad_login("a b:hunter2\n", 1, "white space or a control byte in the user's name");
    expect_bad_login("a:hunter2 hunter2\n", 1, "white space or a control byte in the password");
    expect_bad_login("a:\n", 1, "a password of 0 bytes");
    expect_bad_login(":hunter2\n", 1, "a user's name of 0 bytes");
}

Test(credentials, of_a_file_that_all_can_read_are_noticed)
{
    char path[] = "/tmp/crossfade-login-XXXXXX";
    int fd = mkstemp(path);
    struct credentials credentials;
    struct config_faults faults;
    bool is_open;

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "a:b\n", 4), 4);
    close(fd);
    cr_assert(credentials_load(path, &credentials, &is_open, &faults));
    cr_assert_not(is_open);
    config_faults_free(&faults);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert(credentials_load(path, &credentials, &is_open, &faults));
    cr_assert(is_open);
    config_faults_free(&faults);
    unlink(path);
    cr_assert_not(credentials_load(path, &credentials, &is_open, &faults));
    config_faults_free(&faults);
}

Test(credentials, are_not_waited_for_from_a_pipe, .timeout = 10)
{
    char folder[] = "/tmp/crossfade-login-XXXXXX";
    char path[64];
    struct credentials credentials;
    struct config_faults faults;
    bool is_open;

    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/pipe", folder);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_not(credentials_load(path, &credentials, &is_open, &faults));
    cr_assert_not_null(strstr(faults.faults[0].text, "no regular file"));
    config_faults_free(&faults);
    cr_assert_null(users_load(path, &faults));
    cr_assert_not_null(strstr(faults.faults[0].text, "no regular file"));
    config_faults_free(&faults);
    unlink(path);
    rmdir(folder);
}
