/* A self-signed certificate and its key, in files of a fresh folder. */
#ifndef CROSSFADE_TESTS_UNIT_NET_IDENTITY_H
#define CROSSFADE_TESTS_UNIT_NET_IDENTITY_H

struct identity {
    char folder[80];
    char certificate[112];
    char key[112];
};

/* For `name`, good until `days` from now on. */
void identity_create(struct identity *identity, const char *name, int days);
void identity_remove(struct identity *identity);

#endif
