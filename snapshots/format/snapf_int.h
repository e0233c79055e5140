/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside snapshots/format: how each part of a machine's state is described.
 */
#pragma once

#include "snapshots/format/snapf.h"

void snapf_code_vm(struct snapf_code *code, struct hv_vm_state *state);
void snapf_code_vcpu(struct snapf_code *code, struct hv_vcpu_state *state);
void snapf_code_legacy(struct snapf_code *code, struct machine_state *state);
void snapf_code_memory(struct snapf_code *code, struct machine_state *state);
void snapf_code_device(struct snapf_code *code, struct machine_device_state *state);
