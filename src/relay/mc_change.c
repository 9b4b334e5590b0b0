#include "crossfade/relay/mc_change.h"

#include "crossfade/relay/mc_client.h"

bool mc_change_start(struct mc_op *op, const struct key_place *place,
                     const struct mc_change_request *request, struct mc_server *server)
{
    struct mc_changed result = { .kind = MC_CHANGE_FAILED,
                                 .verb = request->verb,
                                 .text = SLICE("not in epoch mode yet") };

    (void)place;
    (void)server;
    op->client->dialect->changed(op, &result);
    return true;
}
