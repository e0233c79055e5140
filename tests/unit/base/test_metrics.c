/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/metrics.c and metrics_line.c: the line's shape and key order (cli.md F.2),
 * deltas and stores, per-device groups and their sums, sinks that fail. Metrics open once in a
 * process, so every test runs in a child of its own.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/base/metrics_fixture.h"

static char work_dir[64];
static char path[96];

static int in_child(int (*body)(void))
{
    (void)snprintf(path, sizeof(path), "%s/metrics", work_dir);
    (void)unlink(path);
    int status = status_of_child(body);
    (void)unlink(path);
    return status;
}

/* The file's text; lives until the next call. */
static char *text_of_file(void)
{
    static char *text;
    size_t len;

    free(text);
    if (fd_read_file(path, 1024 * 1024, &text, &len, NULL) < 0)
        abort();
    return text;
}

static char *last_line(void)
{
    char *text = text_of_file();
    size_t len = strlen(text);

    if (len < 2 || text[len - 1] != '\n')
        abort();
    char *at = text + len - 2;
    while (at > text && at[-1] != '\n')
        at--;
    return at;
}

/* The number of a field in a group; UINT64_MAX when either is absent. */
static uint64_t field_of(const char *line, const char *group, const char *field)
{
    char key[160];

    (void)snprintf(key, sizeof(key), "\"%s\":{", group);
    const char *at = strstr(line, key);
    if (!at)
        return UINT64_MAX;
    (void)snprintf(key, sizeof(key), "\"%s\":", field);
    at = strstr(at, key);
    return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX;
}

/* A strict reader of what a line may hold: objects, strings, whole numbers, no blanks. NULL: not
 * valid. */
static const char *skip_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    while (*at != '"') {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at == '\\' && !strchr("\"\\u", *++at))
            return NULL;
        at++;
    }
    return at + 1;
}

static const char *skip_value(const char *at, unsigned depth, unsigned *numbers_count)
{
    if (isdigit((unsigned char)*at)) {
        (*numbers_count)++;
        return at + strspn(at, "0123456789");
    }
    if (*at != '{' || depth == 0)
        return NULL;
    do {
        at = skip_string(at + 1);
        if (!at || *at != ':')
            return NULL;
        at = skip_value(at + 1, depth - 1, numbers_count);
    } while (at && *at == ',');
    return at && *at == '}' ? at + 1 : NULL;
}

/* NULL: there is none. */
static struct metrics_block *block_of(const char *id)
{
    struct metrics_block *block;
    return metrics_block_of(id, &block) == 0 ? block : NULL;
}

static struct metrics_net *net_of(const char *id)
{
    struct metrics_net *net;
    return metrics_net_of(id, &net) == 0 ? net : NULL;
}

static int body_fresh_line(void)
{
    static const char *const groups[] = {
        "api_server",       "balloon",        "block",   "deprecated_api",
        "get_api_requests", "i8042",          "uart",    "latencies_us",
        "logger",           "mmds",           "net",     "patch_api_requests",
        "put_api_requests", "seccomp",        "vcpu",    "vmm",
        "signals",          "vsock",          "entropy", "pmem",
        "interrupts",       "memory_hotplug",
    };
    CHECK(metrics_open(path, NULL) == 0);
    CHECK(metrics_flush(NULL) == 0);
    const char *line = last_line();
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    unsigned numbers_count = 0;

    CHECK(strncmp(line, "{\"utc_timestamp_ms\":", 20) == 0);
    uint64_t stamp_ms = strtoull(line + 20, NULL, 10);
    CHECK(stamp_ms + 1000 >= now_ms && stamp_ms <= now_ms + 2000);
    const char *end = skip_value(line, 3, &numbers_count);
    CHECK(end && strcmp(end, "\n") == 0);
    /* Fields of cli.md F.2: 205 plain ones, 11 aggregates of three numbers each, and the time. */
    CHECK(numbers_count == 205 + 11 * 3 + 1);

    const char *at = line;
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), ",\"%s\":{", groups[i]);
        at = strstr(at, key);
        CHECK(at);
    }
    CHECK(strstr(line, ",\"seccomp\":{\"num_faults\":0},\"vcpu\":{\"exit_io_in\":0,"));
    CHECK(strstr(line, "\"exit_io_in_agg\":{\"min_us\":0,\"max_us\":0,\"sum_us\":0},"));
    CHECK(strstr(line, ",\"signals\":{\"sigbus\":0,\"sigsegv\":0,\"sigxfsz\":0,\"sigxcpu\":0,"
                       "\"sigpipe\":0,\"sighup\":0,\"sigill\":0},\"vsock\":{"));
    CHECK(strstr(line, ",\"interrupts\":{\"triggers\":0,\"config_updates\":0},"));
    return 0;
}

static void test_metrics_flush__fresh_process__whole_schema_in_order(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_fresh_line), 0);
}

static int body_deltas(void)
{
    metric_add(&metrics.uart.write_count, 5);
    metric_inc(&metrics.uart.write_count);
    metric_store(&metrics.latencies_us.pause_vm, 77);
    CHECK(metrics_flush(NULL) == 0); /* not open: nothing is written, nothing is lost */
    CHECK(metrics_open(path, NULL) == 0);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(field_of(last_line(), "uart", "write_count") == 6);
    CHECK(field_of(last_line(), "latencies_us", "pause_vm") == 77);

    metric_add(&metrics.uart.write_count, 2);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(field_of(last_line(), "uart", "write_count") == 2);
    CHECK(field_of(last_line(), "latencies_us", "pause_vm") == 77);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(field_of(last_line(), "uart", "write_count") == 0);
    CHECK(metric_get(&metrics.uart.write_count) == 8);
    return 0;
}

static void test_metrics_flush__counters__deltas_and_stores(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_deltas), 0);
}

static int body_aggregates(void)
{
    metric_agg_t *agg = &metrics.vcpu.exit_io_out_agg;

    metric_agg_record(agg, 30);
    metric_agg_record(agg, 10);
    metric_agg_record(agg, 20);
    CHECK(metrics_open(path, NULL) == 0);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(strstr(last_line(), "\"exit_io_out_agg\":{\"min_us\":10,\"max_us\":30,\"sum_us\":60}"));
    metric_agg_record(agg, 40);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(strstr(last_line(), "\"exit_io_out_agg\":{\"min_us\":10,\"max_us\":40,\"sum_us\":40}"));
    return 0;
}

static void test_metric_agg_record__samples__life_min_max_delta_sum(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_aggregates), 0);
}

static int body_instances(void)
{
    CHECK(metrics_open(path, NULL) == 0);
    struct metrics_block *root = block_of("rootfs");
    struct metrics_block *odd = block_of("a\"b\\c\n");
    struct metrics_net *eth = net_of("eth0");
    CHECK(root && odd && eth && root != odd);
    CHECK(block_of("rootfs") == root && net_of("eth0") == eth);

    metric_add(&root->read_bytes, 4096);
    metric_add(&odd->read_bytes, 512);
    metric_inc(&metrics.block.cfg_fails);
    metric_agg_record(&root->read_agg, 7);
    metric_agg_record(&odd->read_agg, 8);
    metric_add(&eth->tx_count, 3);
    CHECK(metrics_flush(NULL) == 0);
    const char *line = last_line();
    unsigned numbers_count = 0;
    CHECK(skip_value(line, 3, &numbers_count));
    CHECK(field_of(line, "block_rootfs", "read_bytes") == 4096);
    CHECK(field_of(line, "block_a\\\"b\\\\c\\u000a", "read_bytes") == 512);
    CHECK(field_of(line, "block", "read_bytes") == 4608);
    CHECK(field_of(line, "block", "cfg_fails") == 1);
    CHECK(field_of(line, "net_eth0", "tx_count") == 3 && field_of(line, "net", "tx_count") == 3);
    CHECK(strstr(line, "\"read_agg\":{\"min_us\":7,\"max_us\":7,\"sum_us\":7}"));
    CHECK(strstr(strstr(line, "\"block\":{"),
                 "\"read_agg\":{\"min_us\":0,\"max_us\":0,\"sum_us\":15}"));
    /* Sorted by id, before the sum. */
    CHECK(strstr(line, "\"block_a") < strstr(line, "\"block_rootfs"));
    CHECK(strstr(line, "\"block_rootfs") < strstr(line, "\"block\":"));

    CHECK(metrics_flush(NULL) == 0);
    CHECK(field_of(last_line(), "block_rootfs", "read_bytes") == 0);
    CHECK(field_of(last_line(), "block", "read_bytes") == 0);
    return 0;
}

static void test_metrics_block_of__two_devices__own_groups_and_sum(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_instances), 0);
}

static int body_many_instances(void)
{
    static char id[4097];
    struct metrics_block *none_block = NULL;
    struct metrics_net *none_net = NULL;
    CHECK(metrics_open(path, NULL) == 0);
    /* Ids may be long file paths, all control bytes at worst; every value as long as can be. */
    memset(id, '\x01', sizeof(id) - 1);
    for (unsigned i = 0; i < METRICS_INSTANCES_MAX; i++) {
        (void)snprintf(id, 8, "%07u", i);
        id[7] = '\x01';
        struct metrics_net *net = net_of(id);
        CHECK(net && block_of(id));
        for (size_t off = 0; off < sizeof(*net); off += sizeof(uint64_t))
            memcpy((char *)net + off, &(uint64_t){UINT64_MAX - 1}, sizeof(uint64_t));
    }
    CHECK(metrics_net_of("one more", &none_net) == -ENOSPC && none_net == NULL);
    CHECK(metrics_block_of("one more", &none_block) == -ENOSPC && none_block == NULL);
    CHECK(net_of(id));
    CHECK(metrics_flush(NULL) == 0);
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size > 128 * 4096 * 6);
    return 0;
}

static void test_metrics_net_of__longest_ids_and_values__line_fits(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_many_instances), 0);
}

static int body_open(void)
{
    struct err err = ERR_INIT;
    const char what[] = "Cannot initialize the metrics system due to bad user input: ";

    CHECK(metrics_open("/nowhere/at/all", &err) == -ENOENT);
    CHECK(strncmp(err.msg, what, strlen(what)) == 0);
    CHECK(strcmp(err.msg + strlen(what), "No such file or directory (os error 2)") == 0);
    CHECK(metrics_open(path, &err) == 0);
    CHECK(metrics_open(path, &err) == -EALREADY);
    CHECK(strcmp(err.msg + strlen(what), "Reinitialization of metrics not allowed.") == 0);
    return 0;
}

static void test_metrics_open__bad_path_then_twice__sentences(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_open), 0);
}

static int body_full_device(void)
{
    struct err err = ERR_INIT;

    CHECK(metrics_open("/dev/full", NULL) == 0);
    CHECK(metrics_flush(&err) == -ENOSPC);
    CHECK(strcmp(err.msg,
                 "Failed to write the metrics line: No space left on device (os error 28)") == 0);
    CHECK(metrics_flush(&err) == -ENOSPC);
    CHECK(metric_get(&metrics.logger.missed_metrics_count) == 2);
    return 0;
}

static void test_metrics_flush__no_room__counted(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_full_device), 0);
}

/* Reads what the FIFO holds into `buf`, NUL-terminated. */
static size_t drain(int fd, char *buf, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, buf + len, size - 1 - len)) > 0)
        len += (size_t)n;
    buf[len] = '\0';
    return len;
}

static int body_fifo(void)
{
    static char buf[1024 * 1024];
    int rc;

    CHECK(mkfifo(path, 0600) == 0);
    CHECK(metrics_open(path, NULL) == 0); /* nobody reads it */
    metric_add(&metrics.uart.read_count, 1);
    for (unsigned i = 0; (rc = metrics_flush(NULL)) == 0; i++)
        CHECK(i < 1000);
    CHECK(rc == -EAGAIN);
    CHECK(metric_get(&metrics.logger.missed_metrics_count) == 1);
    metric_add(&metrics.uart.read_count, 41);
    CHECK(metrics_flush(NULL) == -EAGAIN);

    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK(drain(fd, buf, sizeof(buf)) > 4096);
    bool torn = buf[strlen(buf) - 1] != '\n';
    CHECK(metrics_flush(NULL) == 0);
    CHECK(drain(fd, buf, sizeof(buf)) > 4096);
    /* Half a line was in the FIFO: a line feed parts it from the whole one. */
    CHECK((buf[0] == '\n') == torn);
    CHECK(field_of(buf, "uart", "read_count") == 41);
    CHECK(field_of(buf, "logger", "missed_metrics_count") == 2);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(drain(fd, buf, sizeof(buf)) > 4096);
    CHECK(buf[0] == '{');
    CHECK(field_of(buf, "uart", "read_count") == 0);
    return 0;
}

static void test_metrics_flush__full_fifo__no_delta_lost(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_fifo), 0);
}

static int body_torn_fifo(void)
{
    static char buf[1024 * 1024];

    CHECK(mkfifo(path, 0600) == 0);
    CHECK(metrics_open(path, NULL) == 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0 && fcntl(fd, F_SETPIPE_SZ, 4096) == 4096);
    metric_add(&metrics.uart.read_count, 9);
    CHECK(metrics_flush(NULL) == -EAGAIN); /* a line is longer than one page */
    CHECK(drain(fd, buf, sizeof(buf)) == 4096);
    CHECK(metrics_flush(NULL) == -EAGAIN);
    CHECK(drain(fd, buf, sizeof(buf)) == 4096 && buf[0] == '\n');
    CHECK(fcntl(fd, F_SETPIPE_SZ, 65536) == 65536);
    CHECK(metrics_flush(NULL) == 0);
    (void)drain(fd, buf, sizeof(buf));
    CHECK(buf[0] == '\n' && buf[1] == '{' && buf[strlen(buf) - 1] == '\n');
    CHECK(field_of(buf, "uart", "read_count") == 9);
    return 0;
}

static void test_metrics_flush__part_of_line_written__next_on_new_line(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_torn_fifo), 0);
}

/* A file that may not grow beyond what half a second line needs. */
static int body_torn_file(void)
{
    struct err err = ERR_INIT;

    CHECK(metrics_open(path, NULL) == 0);
    CHECK(metrics_flush(NULL) == 0);
    size_t whole = strlen(text_of_file());
    struct rlimit old;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0 && signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
    CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){whole + whole / 2, old.rlim_max}) == 0);
    metric_add(&metrics.uart.read_count, 5);
    CHECK(metrics_flush(&err) == -EFBIG);
    CHECK(strcmp(err.msg, "Failed to write the metrics line: File too large (os error 27)") == 0);
    CHECK(strlen(text_of_file()) == whole);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(text_of_file()[whole] == '{' && field_of(last_line(), "uart", "read_count") == 5);
    return 0;
}

static void test_metrics_flush__no_room_for_all_of_a_line__file_ends_in_whole_one(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_torn_file), 0);
}

static int body_existing_file(void)
{
    FD_AUTO int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd_write_full(fd, "old\n", 4) == 0);
    CHECK(metrics_open(path, NULL) == 0);
    CHECK(metrics_flush(NULL) == 0);
    CHECK(strncmp(text_of_file(), "old\n{\"utc_timestamp_ms\":", 24) == 0);
    return 0;
}

static void test_metrics_open__existing_file__appended(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_existing_file), 0);
}

#define RACE_ROUNDS 20000u

static void *race_thread(void *arg)
{
    (void)arg;
    for (unsigned i = 1; i <= RACE_ROUNDS; i++) {
        metric_inc(&metrics.net.rx_count);
        metric_agg_record(&metrics.net.tap_write_agg, i);
    }
    return NULL;
}

static int body_race(void)
{
    pthread_t threads[3];
    uint64_t sum = 0;

    CHECK(metrics_open(path, NULL) == 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, race_thread, NULL) == 0);
    for (unsigned i = 0; i < 20; i++) {
        CHECK(metrics_flush(NULL) == 0);
        sum += field_of(last_line(), "net", "rx_count");
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(metrics_flush(NULL) == 0);
    sum += field_of(last_line(), "net", "rx_count");
    CHECK(sum == 3 * RACE_ROUNDS);
    CHECK(atomic_load(&metrics.net.tap_write_agg.min_us) == 1);
    CHECK(atomic_load(&metrics.net.tap_write_agg.max_us) == RACE_ROUNDS);
    return 0;
}

static void test_metrics_flush__while_threads_count__nothing_lost_or_doubled(void **state)
{
    (void)state;
    assert_int_equal(in_child(body_race), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_flush__fresh_process__whole_schema_in_order),
        cmocka_unit_test(test_metrics_flush__counters__deltas_and_stores),
        cmocka_unit_test(test_metric_agg_record__samples__life_min_max_delta_sum),
        cmocka_unit_test(test_metrics_block_of__two_devices__own_groups_and_sum),
        cmocka_unit_test(test_metrics_net_of__longest_ids_and_values__line_fits),
        cmocka_unit_test(test_metrics_open__bad_path_then_twice__sentences),
        cmocka_unit_test(test_metrics_open__existing_file__appended),
        cmocka_unit_test(test_metrics_flush__no_room__counted),
        cmocka_unit_test(test_metrics_flush__full_fifo__no_delta_lost),
        cmocka_unit_test(test_metrics_flush__no_room_for_all_of_a_line__file_ends_in_whole_one),
        cmocka_unit_test(test_metrics_flush__part_of_line_written__next_on_new_line),
        cmocka_unit_test(test_metrics_flush__while_threads_count__nothing_lost_or_doubled),
    };

    (void)snprintf(work_dir, sizeof(work_dir), "/tmp/mayfly-metrics-XXXXXX");
    if (!mkdtemp(work_dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(work_dir);
    return failed;
}
