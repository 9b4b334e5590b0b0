#include "crossfade/net/address.h"

#include <criterion/criterion.h>
#include <string.h>

static struct addresses resolve(const char *host, uint16_t port)
{
    struct config_endpoint endpoint = { .text = (char *)(uintptr_t)host,
                                        .host = (char *)(uintptr_t)host,
                                        .port = port };
    struct addresses found;
    char error[256];

    cr_assert(addresses_resolve(&endpoint, &found, error, sizeof(error)), "%s", error);
    return found;
}

static struct addresses two(const char *first, const char *second)
{
    struct addresses both = resolve(first, 11211);

    both.all[both.count++] = resolve(second, 11211).all[0];
    return both;
}

Test(address, several_are_the_same_in_any_order)
{
    struct addresses a = two("10.0.0.1", "::1");
    struct addresses b = two("::1", "10.0.0.1");
    struct addresses c = two("::1", "10.0.0.2");
    struct addresses d = resolve("10.0.0.1", 11211);
    struct addresses none = { .count = 0 };

    cr_expect(addresses_same(&a, &b));
    cr_expect_not(addresses_same(&a, &c));
    cr_expect_not(addresses_same(&a, &d));
    cr_expect_not(addresses_same(&d, &a));
    cr_expect(addresses_same(&none, &none));
    cr_expect_eq(addresses_find(&b, &a.all[0]), 1);
    cr_expect_eq(addresses_find(&c, &a.all[0]), -1);
    cr_expect_not(address_same(&d.all[0], &resolve("10.0.0.1", 11212).all[0]), "the port counts");
}

Test(address, several_are_shown_with_their_ports)
{
    struct addresses both = two("10.0.0.1", "::1");
    struct addresses none = { .count = 0 };
    char text[256];
    char little[12];

    cr_expect_str_eq(addresses_format(&both, text, sizeof(text)), "10.0.0.1:11211, [::1]:11211");
    cr_expect_str_eq(addresses_format(&none, text, sizeof(text)), "");
    cr_expect_str_eq(addresses_format(&both, little, sizeof(little)), "10.0.0.1:11");
}

Test(address, a_number_or_a_path_is_no_name)
{
    struct config_endpoint endpoint = { .host = (char *)(uintptr_t) "10.0.0.1", .port = 1 };
    struct config_endpoint path = { .path = (char *)(uintptr_t) "/run/x.sock" };

    cr_expect_not(address_is_name(&endpoint));
    endpoint.host = (char *)(uintptr_t) "::1";
    cr_expect_not(address_is_name(&endpoint));
    endpoint.host = (char *)(uintptr_t) "localhost";
    cr_expect(address_is_name(&endpoint));
    cr_expect_not(address_is_name(&path));
}

Test(address, a_name_that_is_none_is_said_to_be)
{
    struct config_endpoint endpoint = { .text = (char *)(uintptr_t) "no..name:1",
                                        .host = (char *)(uintptr_t) "no..name",
                                        .port = 1 };
    struct addresses found;
    char error[256];

    cr_expect_not(addresses_resolve(&endpoint, &found, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "no..name:1: cannot resolve this name"), "%s", error);
    cr_expect_eq(found.count, 0);
}
