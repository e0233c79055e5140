/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics schema as data: Firecracker 1.16's groups and fields in line order (cli.md F.2).
 * METRICS_GROUPS(X) lists the groups; METRICS_FIELDS_<group>(D, S, A) lists a group's fields: D
 * delta counter, S store, A aggregate of latencies. Groups of devices that Mayfly does not have
 * stay zero: consumers require them. No code, no state.
 */
#pragma once

#define METRICS_GROUPS(X)                                                                          \
    X(api_server)                                                                                  \
    X(balloon)                                                                                     \
    X(block)                                                                                       \
    X(deprecated_api)                                                                              \
    X(get_api_requests)                                                                            \
    X(i8042)                                                                                       \
    X(uart)                                                                                        \
    X(latencies_us)                                                                                \
    X(logger)                                                                                      \
    X(mmds)                                                                                        \
    X(net)                                                                                         \
    X(patch_api_requests)                                                                          \
    X(put_api_requests)                                                                            \
    X(seccomp)                                                                                     \
    X(vcpu)                                                                                        \
    X(vmm)                                                                                         \
    X(signals)                                                                                     \
    X(vsock)                                                                                       \
    X(entropy)                                                                                     \
    X(pmem)                                                                                        \
    X(interrupts)                                                                                  \
    X(memory_hotplug)

#define METRICS_FIELDS_api_server(D, S, A)                                                         \
    S(process_startup_time_us)                                                                     \
    S(process_startup_time_cpu_us)

#define METRICS_FIELDS_balloon(D, S, A)                                                            \
    D(activate_fails)                                                                              \
    D(inflate_count)                                                                               \
    D(stats_updates_count)                                                                         \
    D(stats_update_fails)                                                                          \
    D(deflate_count)                                                                               \
    D(event_fails)                                                                                 \
    D(free_page_report_count)                                                                      \
    D(free_page_report_freed)                                                                      \
    D(free_page_report_fails)                                                                      \
    D(free_page_hint_count)                                                                        \
    D(free_page_hint_freed)                                                                        \
    D(free_page_hint_fails)

#define METRICS_FIELDS_block(D, S, A)                                                              \
    D(activate_fails)                                                                              \
    D(cfg_fails)                                                                                   \
    D(no_avail_buffer)                                                                             \
    D(event_fails)                                                                                 \
    D(execute_fails)                                                                               \
    D(invalid_reqs_count)                                                                          \
    D(flush_count)                                                                                 \
    D(queue_event_count)                                                                           \
    D(rate_limiter_event_count)                                                                    \
    D(update_count)                                                                                \
    D(update_fails)                                                                                \
    D(read_bytes)                                                                                  \
    D(write_bytes)                                                                                 \
    D(read_count)                                                                                  \
    D(write_count)                                                                                 \
    A(read_agg)                                                                                    \
    A(write_agg)                                                                                   \
    D(rate_limiter_throttled_events)                                                               \
    D(io_engine_throttled_events)                                                                  \
    D(remaining_reqs_count)

#define METRICS_FIELDS_deprecated_api(D, S, A) D(deprecated_http_api_calls)

#define METRICS_FIELDS_get_api_requests(D, S, A)                                                   \
    D(instance_info_count)                                                                         \
    D(machine_cfg_count)                                                                           \
    D(mmds_count)                                                                                  \
    D(vmm_version_count)                                                                           \
    D(hotplug_memory_count)

#define METRICS_FIELDS_i8042(D, S, A)                                                              \
    D(error_count)                                                                                 \
    D(missed_read_count)                                                                           \
    D(missed_write_count)                                                                          \
    D(read_count)                                                                                  \
    D(reset_count)                                                                                 \
    D(write_count)

#define METRICS_FIELDS_uart(D, S, A)                                                               \
    D(error_count)                                                                                 \
    D(flush_count)                                                                                 \
    D(missed_read_count)                                                                           \
    D(missed_write_count)                                                                          \
    D(read_count)                                                                                  \
    D(write_count)                                                                                 \
    D(rate_limiter_dropped_bytes)

#define METRICS_FIELDS_latencies_us(D, S, A)                                                       \
    S(full_create_snapshot)                                                                        \
    S(diff_create_snapshot)                                                                        \
    S(load_snapshot)                                                                               \
    S(pause_vm)                                                                                    \
    S(resume_vm)                                                                                   \
    S(vmm_full_create_snapshot)                                                                    \
    S(vmm_diff_create_snapshot)                                                                    \
    S(vmm_load_snapshot)                                                                           \
    S(vmm_pause_vm)                                                                                \
    S(vmm_resume_vm)

#define METRICS_FIELDS_logger(D, S, A)                                                             \
    D(missed_metrics_count)                                                                        \
    D(metrics_fails)                                                                               \
    D(missed_log_count)                                                                            \
    D(rate_limited_log_count)

#define METRICS_FIELDS_mmds(D, S, A)                                                               \
    D(rx_accepted)                                                                                 \
    D(rx_accepted_err)                                                                             \
    D(rx_accepted_unusual)                                                                         \
    D(rx_bad_eth)                                                                                  \
    D(rx_invalid_token)                                                                            \
    D(rx_no_token)                                                                                 \
    D(rx_count)                                                                                    \
    D(tx_bytes)                                                                                    \
    D(tx_count)                                                                                    \
    D(tx_errors)                                                                                   \
    D(tx_frames)                                                                                   \
    D(connections_created)                                                                         \
    D(connections_destroyed)

#define METRICS_FIELDS_net(D, S, A)                                                                \
    D(activate_fails)                                                                              \
    D(cfg_fails)                                                                                   \
    D(no_rx_avail_buffer)                                                                          \
    D(no_tx_avail_buffer)                                                                          \
    D(event_fails)                                                                                 \
    D(rx_queue_event_count)                                                                        \
    D(rx_event_rate_limiter_count)                                                                 \
    D(rx_rate_limiter_throttled)                                                                   \
    D(rx_tap_event_count)                                                                          \
    D(rx_bytes_count)                                                                              \
    D(rx_packets_count)                                                                            \
    D(rx_fails)                                                                                    \
    D(rx_count)                                                                                    \
    D(tap_read_fails)                                                                              \
    D(tap_write_fails)                                                                             \
    A(tap_write_agg)                                                                               \
    D(tx_bytes_count)                                                                              \
    D(tx_malformed_frames)                                                                         \
    D(tx_fails)                                                                                    \
    D(tx_count)                                                                                    \
    D(tx_packets_count)                                                                            \
    D(tx_queue_event_count)                                                                        \
    D(tx_rate_limiter_event_count)                                                                 \
    D(tx_rate_limiter_throttled)                                                                   \
    D(tx_spoofed_mac_count)                                                                        \
    D(tx_remaining_reqs_count)

#define METRICS_FIELDS_patch_api_requests(D, S, A)                                                 \
    D(drive_count)                                                                                 \
    D(drive_fails)                                                                                 \
    D(network_count)                                                                               \
    D(network_fails)                                                                               \
    D(machine_cfg_count)                                                                           \
    D(machine_cfg_fails)                                                                           \
    D(mmds_count)                                                                                  \
    D(mmds_fails)                                                                                  \
    D(hotplug_memory_count)                                                                        \
    D(hotplug_memory_fails)                                                                        \
    D(pmem_count)                                                                                  \
    D(pmem_fails)

#define METRICS_FIELDS_put_api_requests(D, S, A)                                                   \
    D(actions_count)                                                                               \
    D(actions_fails)                                                                               \
    D(boot_source_count)                                                                           \
    D(boot_source_fails)                                                                           \
    D(drive_count)                                                                                 \
    D(drive_fails)                                                                                 \
    D(logger_count)                                                                                \
    D(logger_fails)                                                                                \
    D(machine_cfg_count)                                                                           \
    D(machine_cfg_fails)                                                                           \
    D(cpu_cfg_count)                                                                               \
    D(cpu_cfg_fails)                                                                               \
    D(metrics_count)                                                                               \
    D(metrics_fails)                                                                               \
    D(network_count)                                                                               \
    D(network_fails)                                                                               \
    D(mmds_count)                                                                                  \
    D(mmds_fails)                                                                                  \
    D(vsock_count)                                                                                 \
    D(vsock_fails)                                                                                 \
    D(pmem_count)                                                                                  \
    D(pmem_fails)                                                                                  \
    D(serial_count)                                                                                \
    D(serial_fails)                                                                                \
    D(hotplug_memory_count)                                                                        \
    D(hotplug_memory_fails)

#define METRICS_FIELDS_seccomp(D, S, A) S(num_faults)

#define METRICS_FIELDS_vcpu(D, S, A)                                                               \
    D(exit_io_in)                                                                                  \
    D(exit_io_out)                                                                                 \
    D(exit_mmio_read)                                                                              \
    D(exit_mmio_write)                                                                             \
    D(failures)                                                                                    \
    D(kvmclock_ctrl_fails)                                                                         \
    A(exit_io_in_agg)                                                                              \
    A(exit_io_out_agg)                                                                             \
    A(exit_mmio_read_agg)                                                                          \
    A(exit_mmio_write_agg)

#define METRICS_FIELDS_vmm(D, S, A) S(panic_count)

#define METRICS_FIELDS_signals(D, S, A)                                                            \
    S(sigbus)                                                                                      \
    S(sigsegv)                                                                                     \
    S(sigxfsz)                                                                                     \
    S(sigxcpu)                                                                                     \
    D(sigpipe)                                                                                     \
    S(sighup)                                                                                      \
    S(sigill)

#define METRICS_FIELDS_vsock(D, S, A)                                                              \
    D(activate_fails)                                                                              \
    D(cfg_fails)                                                                                   \
    D(rx_queue_event_fails)                                                                        \
    D(tx_queue_event_fails)                                                                        \
    D(ev_queue_event_fails)                                                                        \
    D(muxer_event_fails)                                                                           \
    D(conn_event_fails)                                                                            \
    D(rx_queue_event_count)                                                                        \
    D(tx_queue_event_count)                                                                        \
    D(rx_bytes_count)                                                                              \
    D(tx_bytes_count)                                                                              \
    D(rx_packets_count)                                                                            \
    D(tx_packets_count)                                                                            \
    D(conns_added)                                                                                 \
    D(conns_killed)                                                                                \
    D(conns_removed)                                                                               \
    D(killq_resync)                                                                                \
    D(tx_flush_fails)                                                                              \
    D(tx_write_fails)                                                                              \
    D(rx_read_fails)

#define METRICS_FIELDS_entropy(D, S, A)                                                            \
    D(activate_fails)                                                                              \
    D(entropy_event_fails)                                                                         \
    D(entropy_event_count)                                                                         \
    D(entropy_bytes)                                                                               \
    D(host_rng_fails)                                                                              \
    D(entropy_rate_limiter_throttled)                                                              \
    D(rate_limiter_event_count)

#define METRICS_FIELDS_pmem(D, S, A)                                                               \
    D(activate_fails)                                                                              \
    D(cfg_fails)                                                                                   \
    D(event_fails)                                                                                 \
    D(queue_event_count)                                                                           \
    D(rate_limiter_throttled_events)                                                               \
    D(rate_limiter_event_count)

#define METRICS_FIELDS_interrupts(D, S, A)                                                         \
    D(triggers)                                                                                    \
    D(config_updates)

#define METRICS_FIELDS_memory_hotplug(D, S, A)                                                     \
    D(activate_fails)                                                                              \
    D(queue_event_fails)                                                                           \
    D(queue_event_count)                                                                           \
    A(plug_agg)                                                                                    \
    D(plug_count)                                                                                  \
    D(plug_bytes)                                                                                  \
    D(plug_fails)                                                                                  \
    A(unplug_agg)                                                                                  \
    D(unplug_count)                                                                                \
    D(unplug_bytes)                                                                                \
    D(unplug_fails)                                                                                \
    D(unplug_discard_fails)                                                                        \
    A(unplug_all_agg)                                                                              \
    D(unplug_all_count)                                                                            \
    D(unplug_all_fails)                                                                            \
    A(state_agg)                                                                                   \
    D(state_count)                                                                                 \
    D(state_fails)
