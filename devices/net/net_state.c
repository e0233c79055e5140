/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NIC's state out of it and into it. Under the device's lock, on the vmm thread, while the VM is
 * paused: no frame is held.
 */
#include "devices/net/net_state.h"

#include "devices/net/net_int.h"

void net_save(struct net *net, struct net_state *ret_state)
{
    (void)pthread_mutex_lock(&net->dev.lock);
    rl_save(&net->rx_rl, &ret_state->rx_rl);
    rl_save(&net->tx_rl, &ret_state->tx_rl);
    (void)pthread_mutex_unlock(&net->dev.lock);
}

int net_restore(struct net *net, const struct net_state *state, struct err *err)
{
    (void)pthread_mutex_lock(&net->dev.lock);
    int rc = rl_restore(&net->rx_rl, &state->rx_rl);
    if (rc == 0)
        rc = rl_restore(&net->tx_rl, &state->tx_rl);
    (void)pthread_mutex_unlock(&net->dev.lock);
    return rc < 0 ? err_set(err, rc, "the state of a rate limiter is not valid") : 0;
}
