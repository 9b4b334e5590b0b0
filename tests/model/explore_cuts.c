/* Connections that are cut: nobody knows whether the command was run, or will be. */
#include "explore.h"

static void journal(struct state *state, const struct client *client, bool epoch)
{
    unsigned process = process_of(client);
    if (asked.fault != NO_JOURNAL) {
        if (epoch && asked.fault != JOURNAL_VALUE)
            state->journal_epoch[process] = 1;
        state->journal_value[process] |= (uint8_t)(1u << arm_of(client));
    }
    /* A fill that was refused or taken for a mutation promised nothing to anybody. */
    if (client->operation == OP_READ || client->operation == OP_ADD)
        return;
    if (client->commit > state->process_floor[process])
        state->process_floor[process] = client->commit;
    state->process_dead[process] |= client->acked;
    if (client->value & WRITTEN && client->operation != OP_APPEND)
        state->failed[process] |= (uint16_t)(1u << VERSION(client->value));
}

bool cut(struct state *state, unsigned index, enum cut how)
{
    struct client *client = &state->clients[index];
    struct miss *miss = &state->misses[process_of(client)][arm_of(client)];
    struct client *zombie = &state->clients[ZOMBIE];

    if (state->cuts == 0 || asked.design != EPOCH || zombie->step)
        return false;
    state->cuts--;
    switch ((enum step)client->step) {
    case MAKE_EPOCH:
        if (how == CUT_RETRY)
            return false;
        if (how == CUT_RAN && !state->epoch)
            write_epoch(state, fresh_token(state), false);
        /* fall through */
    case READ_VALUE:
    case READ_AGAIN:
        if (client->step != MAKE_EPOCH && how != CUT_GIVE_UP)
            return false;
        client->token = client->epoch = 0;
        client->step = RECORD;
        say("its connection is cut: a miss");
        return true;
    case FILL:
        if (how == CUT_RAN)
            return false;
        *zombie = *client;
        zombie->left = 0;
        if (asked.fault != NO_PUT_BACK)
            record_miss(miss, client->token);
        say("its connection is cut: the fill is answered with an error%s",
            how == CUT_RETRY ? ", the client sends it again" : "");
        if (how == CUT_RETRY) {
            client->step = TAKE;
            client->token = 0;
        } else {
            finish(client);
        }
        return true;
    case DOUBT:
    case DROP:
    case MUTATE_EPOCH:
    case MUTATE_VALUE:
    case DELETE_EPOCH:
    case DELETE_VALUE:
    case CAS_EPOCH:
    case CAS_VALUE:
        if (how != CUT_GIVE_UP || asked.fault == EARLY_ACK)
            return false;
        note_invocation(state, client);
        journal(state, client, client->step != DROP || client->operation != OP_READ);
        *zombie = *client;
        zombie->left = 0;
        finish(client);
        say("its connection is cut: the command is answered with an error and journalled");
        return true;
    case FETCH_EPOCH:
    case FETCH_VALUE:
        if (how != CUT_GIVE_UP)
            return false;
        finish(client);
        say("its connection is cut: an error");
        return true;
    case ADD_VALUE:
        if (how != CUT_GIVE_UP)
            return false;
        *zombie = *client;
        zombie->left = 0;
        finish(client);
        say("its connection is cut: the add is answered with an error");
        return true;
    default:
        return false;
    }
}

bool replay(struct state *state, unsigned process)
{
    const struct client *zombie = &state->clients[ZOMBIE];
    if (!state->journal_epoch[process] && !state->journal_value[process])
        return false;
    if (zombie->step && process_of(zombie) == process && asked.fault != NO_FENCE)
        return false;
    if (state->journal_epoch[process]) {
        write_epoch(state, 0, false);
        state->journal_epoch[process] = 0;
        say("the journal of sidecar %u deletes the epoch", process);
    } else {
        unsigned arm = state->journal_value[process] & 1 ? 0 : 1;
        write_value(state, arm, 0, 0);
        state->journal_value[process] &= (uint8_t) ~(1u << arm);
        say("the journal of sidecar %u deletes the value of arm %c", process, 'A' + arm);
    }
    if (!state->journal_epoch[process] && !state->journal_value[process]) {
        if (state->process_floor[process] > state->floor)
            state->floor = state->process_floor[process];
        state->dead |= state->process_dead[process] | state->failed[process];
        state->process_floor[process] = 0;
        state->process_dead[process] = state->failed[process] = 0;
    }
    return true;
}
