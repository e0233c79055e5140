/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service: one document and one authority of session tokens for the VM, and for each
 * network interface that has the service a tiny HTTP server, plugged into the interface as a frame
 * filter. Thread: vmm. Spec: mmds.md; api.md 7, /mmds and /mmds/config.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "devices/backend/frame_filter.h"

struct mmds;

/* What the service borrows for its life. */
struct mmds_env {
    const struct clock *clock;
    /* The product's is crypto_random. Returns 0 or -errno. */
    int (*random)(void *ctx, void *buf, size_t len);
    void *ctx;
    const char *vm_id;    /* tokens are this VM's alone */
    size_t data_size_max; /* bytes of the compact document */
};

/* Makes an empty service, which asks nothing of the host. env: copied. Returns 0 with *ret_mmds
 * (mmds_free) or -ENOMEM. */
MUST_CHECK int mmds_create(const struct mmds_env *env, struct mmds **ret_mmds);

/* Every interface's part was freed before. NULL is fine. */
void mmds_free(struct mmds *mmds);

/* Version 2 asks for tokens; imds_compat ignores what a request accepts. Version 1 at first. */
void mmds_configure(struct mmds *mmds, bool needs_token, bool imds_compat);

/*
 * PUT: the document is replaced; PATCH: merged (RFC 7396). On failure it stays as it was. Returns
 * 0, -EINVAL (no JSON: the parser's sentence), -EMSGSIZE (over data_size_max), -ENODATA (PATCH
 * before any PUT) or -ENOMEM. Sentences without a category.
 */
MUST_CHECK int mmds_put(struct mmds *mmds, const char *text, size_t len, struct err *err);
MUST_CHECK int mmds_patch(struct mmds *mmds, const char *text, size_t len, struct err *err);

/* The document as the API shows it; null and none are `{}`. ret_text: NUL-terminated, the caller
 * frees. Returns 0 or -ENOMEM. */
MUST_CHECK int mmds_render(const struct mmds *mmds, char **ret_text, size_t *ret_len);

/* One interface's part. Thread: vmm under the interface's lock; its reset may come from a vCPU's
 * thread, under the same lock. */
struct mmds_nic;

/* mmds: outlives it. ipv4: the address it answers to. Returns 0 with *ret_nic (mmds_nic_free) or
 * -ENOMEM. */
MUST_CHECK int mmds_nic_create(struct mmds *mmds, const uint8_t ipv4[static 4],
                               struct mmds_nic **ret_nic);

/* NULL is fine. */
void mmds_nic_free(struct mmds_nic *nic);

/* What the interface is given; the nic's. */
struct frame_filter *mmds_nic_filter(struct mmds_nic *nic);
