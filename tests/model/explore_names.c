/* One form for states that differ in names only. */
#include "explore.h"

#include <string.h>

static void rename_tokens(struct state *state)
{
    uint8_t names[256] = { 0 };
    uint8_t next = 1;
    uint8_t *places[2 + ARMS + 2 * (CLIENTS + 1) + PROCESSES * ARMS];
    size_t count = 0;

    if (asked.fault == REUSED_TOKEN)
        return;
    places[count++] = &state->epoch;
    for (unsigned arm = 0; arm < ARMS; arm++)
        places[count++] = &state->token[arm];
    for (unsigned i = 0; i < PROCESSES * ARMS; i++)
        places[count++] = &state->misses[i / ARMS][i % ARMS].token;
    for (unsigned i = 0; i <= CLIENTS; i++) {
        places[count++] = &state->clients[i].token;
        places[count++] = &state->clients[i].epoch;
    }
    for (size_t i = 0; i < count; i++) {
        if (*places[i] == 0)
            continue;
        if (!names[*places[i]])
            names[*places[i]] = next++;
        *places[i] = names[*places[i]];
    }
}

static uint16_t renamed_mask(uint16_t mask, uint16_t written, const uint8_t names[16])
{
    uint16_t result = 0;
    for (unsigned version = 1; version < 16; version++)
        if (mask & written & 1u << version)
            result |= (uint16_t)(1u << names[version]);
    return result;
}

/* Only the order of the versions that are still about matters. */
static void rename_versions(struct state *state)
{
    uint16_t used = (uint16_t)(1u << state->database | 1u << state->floor), written = 0;
    uint8_t names[16] = { 0 };
    uint8_t next = 1;

    for (unsigned arm = 0; arm < ARMS; arm++) {
        used |= (uint16_t)(1u << VERSION(state->value[arm]));
        if (state->value[arm] & WRITTEN)
            written |= (uint16_t)(1u << VERSION(state->value[arm]));
    }
    for (unsigned process = 0; process < PROCESSES; process++)
        used |= (uint16_t)(1u << state->process_floor[process]);
    for (unsigned i = 0; i <= CLIENTS; i++) {
        const struct client *client = &state->clients[i];
        used |=
            (uint16_t)(1u << VERSION(client->value) | 1u << client->commit | 1u << client->floor);
        if (client->value & WRITTEN)
            written |= (uint16_t)(1u << VERSION(client->value));
    }
    for (unsigned version = 1; version < 16; version++)
        if (used & 1u << version)
            names[version] = next++;
    state->database = names[state->database];
    state->floor = names[state->floor];
    for (unsigned arm = 0; arm < ARMS; arm++)
        state->value[arm] = VALUE(names[VERSION(state->value[arm])], state->value[arm] & WRITTEN);
    state->dead = renamed_mask(state->dead, written, names);
    state->acked = renamed_mask(state->acked, written, names);
    for (unsigned process = 0; process < PROCESSES; process++) {
        state->process_floor[process] = names[state->process_floor[process]];
        state->process_dead[process] = renamed_mask(state->process_dead[process], written, names);
        state->failed[process] = renamed_mask(state->failed[process], written, names);
    }
    for (unsigned i = 0; i <= CLIENTS; i++) {
        struct client *client = &state->clients[i];
        client->value = VALUE(names[VERSION(client->value)], client->value & WRITTEN);
        client->commit = names[client->commit];
        client->floor = names[client->floor];
        client->dead = renamed_mask(client->dead, written, names);
        client->acked = renamed_mask(client->acked, written, names);
    }
}

/* Two clients of the same arm and process may change places; `order` is changed as they are. */
static void sort_clients(struct state *state, unsigned *order)
{
    for (unsigned i = 0; i < asked.clients; i++)
        for (unsigned j = i + 1; j < asked.clients; j++) {
            struct client *a = &state->clients[i], *b = &state->clients[j];
            if (a->where != b->where || memcmp(a, b, sizeof(*a)) <= 0)
                continue;
            struct client swap = *a;
            *a = *b;
            *b = swap;
            unsigned number = order[i];
            order[i] = order[j];
            order[j] = number;
            for (unsigned k = 0; k <= CLIENTS; k++) {
                uint8_t mask = state->clients[k].handles;
                unsigned one = mask >> i & 1, two = mask >> j & 1;
                mask &= (uint8_t) ~(1u << i | 1u << j);
                state->clients[k].handles = (uint8_t)(mask | one << j | two << i);
            }
        }
}

void settle(struct state *state, unsigned *order)
{
    rename_versions(state);
    rename_tokens(state);
    sort_clients(state, order);
    rename_tokens(state);
}
