/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small one-time work of mayfly-init: kernel modules, boot timer, loopback interface.
 */
#pragma once

/*
 * Loads the modules named in /etc/mayfly/modules (one absolute path a line, in dependency order);
 * no file: nothing to do. A module that fails is reported; the rest still load.
 */
void setup_modules(void);

/* Writes the boot timer's magic byte to its window. Returns 0 or -errno. */
int setup_signal_boot_timer(void) __attribute__((warn_unused_result));

/* Brings the loopback interface up; a kernel without network is left alone. */
void setup_loopback(void);
