/*
 * What a stored value is, as far as its flags and its first bytes tell. Flags mean something only
 * under a declared client profile (cache.client_profile): 2 is an integer for Python's clients, a
 * double for PHP's, "compressed" for Ruby's and Perl's. Where they do not tell, nothing is claimed.
 *
 *   python  1 pickle, 2 and 4 integer, 8 zlib, 16 text     python-memcached, pylibmc, pymemcache
 *   php     type in the low four bits, 16 compressed       php-memcached
 *   ruby    1 Marshal, 2 compressed                        dalli
 *   perl    1 Storable, 2 compressed                       Cache::Memcached::Fast
 */
#ifndef CROSSFADE_ROUTE_VALUE_FORMAT_H
#define CROSSFADE_ROUTE_VALUE_FORMAT_H

#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stdint.h>

enum value_format {
    VALUE_OTHER,   /* text, bytes: nothing is known that would speak for or against sharing */
    VALUE_INTEGER, /* nothing but a decimal number */
    VALUE_JSON,
    VALUE_COMPRESSED, /* what is inside cannot be seen */
    VALUE_PICKLE_OLD, /* protocol 0 or 1: text */
    VALUE_PICKLE_2,   /* the highest that Python 2 reads */
    VALUE_PICKLE_3,   /* 3 and 4: Python 3 alone */
    VALUE_PICKLE_5,   /* 5 and above: Python 3.8 and newer */
    VALUE_SERIALIZED, /* PHP's serialize, igbinary */
    VALUE_MARSHAL,    /* Ruby */
    VALUE_STORABLE,   /* Perl */
    VALUE_FORMATS
};

/* Bytes of a value that value_guarded has to see, if it is that long. */
#define VALUE_GUARD_BYTES 2u

/* `value`: all of it, or its beginning if it is not `whole`. */
enum value_format value_format_of(enum config_profile profile, uint32_t flags, struct slice value,
                                  bool whole);
/* For people: "pickles of protocol 2". */
const char *value_format_name(enum value_format format);

/*
 * G8: do the flags and the first bytes prove that one of the runtimes that share this value cannot
 * read it? `beginning`: VALUE_GUARD_BYTES of the value or more, or all of it.
 */
bool value_guarded(enum config_profile profile, uint32_t flags, struct slice beginning);

#endif
