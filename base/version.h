/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker release whose clients work unchanged: what programs say that are called by its
 * names (clients.md, E2).
 */
#pragma once

#define VERSION_API_LEVEL "1.16.1"
