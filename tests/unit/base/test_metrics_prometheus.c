/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the Prometheus text of base/metrics.c and metrics_prometheus.c: values that only
 * grow, labels, phases, the file. It opens once in a process, so every test runs in a child of its
 * own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/base/metrics_fixture.h"

static char work_dir[64];
static char path[96];
static char temp_path[128];
static char line_path[128];

static void in_child(int (*body)(void))
{
    int status = status_of_child(body);
    (void)unlink(path);
    (void)unlink(line_path);
    (void)rmdir(temp_path);
    assert_int_equal(status, 0);
}

/* The text as it is now; lives until the next call. */
static const char *text_now(void)
{
    static char *text;
    size_t len;

    free(text);
    if (metrics_prometheus_text(&text, &len) < 0 || strlen(text) != len)
        abort();
    return text;
}

static bool has_line(const char *text, const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++) {
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return true;
    }
    return false;
}

static bool file_has_line(const char *file, const char *line)
{
    char *text;
    size_t len;
    if (fd_read_file(file, 1024 * 1024, &text, &len, NULL) < 0)
        abort();
    bool has = has_line(text, line);
    free(text);
    return has;
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

static int body_monotonic(void)
{
    CHECK(metrics_open(line_path, NULL) == 0);
    CHECK(metrics_prometheus_open(NULL, "a", 0, NULL) == 0);
    metric_add(&metrics.uart.read_count, 3);
    metric_store(&metrics.latencies_us.pause_vm, 70);
    metric_agg_record(&metrics.vcpu.exit_io_in_agg, 5);
    metric_agg_record(&metrics.vcpu.exit_io_in_agg, 9);
    CHECK(metrics_flush(NULL) == 0);
    metric_add(&metrics.uart.read_count, 1);
    const char *text = text_now();
    CHECK(has_line(text, "# TYPE mayfly_uart_read_count_total counter"));
    CHECK(has_line(text, "mayfly_uart_read_count_total{id=\"a\"} 4"));
    CHECK(has_line(text, "# TYPE mayfly_latencies_us_pause_vm gauge"));
    CHECK(has_line(text, "mayfly_latencies_us_pause_vm{id=\"a\"} 70"));
    CHECK(has_line(text, "mayfly_vcpu_exit_io_in_agg_min_us{id=\"a\"} 5"));
    CHECK(has_line(text, "mayfly_vcpu_exit_io_in_agg_max_us{id=\"a\"} 9"));
    CHECK(has_line(text, "# TYPE mayfly_vcpu_exit_io_in_agg_sum_us_total counter"));
    CHECK(has_line(text, "mayfly_vcpu_exit_io_in_agg_sum_us_total{id=\"a\"} 14"));
    return 0;
}

static void test_metrics_prometheus_text__after_a_flush__counters_go_on(void **state)
{
    (void)state;
    in_child(body_monotonic);
}

static int body_devices(void)
{
    static const char samples[] = "# TYPE mayfly_block_read_count_total counter\n"
                                  "mayfly_block_read_count_total{id=\"a\"} 5\n"
                                  "mayfly_block_read_count_total{id=\"a\",drive="
                                  "\"o\\\"d\\\\d\\n\"} 3\n"
                                  "mayfly_block_read_count_total{id=\"a\",drive=\"root\"} 2\n"
                                  "# TYPE ";
    CHECK(metrics_prometheus_open(NULL, "a", 0, NULL) == 0);
    struct metrics_block *root = block_of("root");
    struct metrics_block *odd = block_of("o\"d\\d\n");
    struct metrics_net *eth = net_of("eth0");
    CHECK(root && odd && eth);
    metric_add(&root->read_count, 2);
    metric_add(&odd->read_count, 3);
    metric_add(&metrics.block.read_count, 5);
    metric_add(&eth->rx_count, 7);
    CHECK(strstr(text_now(), samples));
    CHECK(has_line(text_now(), "mayfly_net_rx_count_total{id=\"a\",interface=\"eth0\"} 7"));
    return 0;
}

static void test_metrics_prometheus_text__devices__samples_of_one_family(void **state)
{
    (void)state;
    in_child(body_devices);
}

/* Microseconds of the phase first_run. */
static uint64_t first_run_us(void)
{
    static const char sample[] = "mayfly_startup_us{id=\"a\",phase=\"first_run\"} ";
    const char *at = strstr(text_now(), sample);
    return at ? strtoull(at + strlen(sample), NULL, 10) : UINT64_MAX;
}

static int body_phases(void)
{
    CHECK(metrics_prometheus_open(NULL, "a", clock_mono_ns(), NULL) == 0);
    CHECK(!strstr(text_now(), "mayfly_startup_us{"));
    metrics_phase_reached(METRICS_PHASE_FIRST_RUN);
    CHECK(!strstr(text_now(), "phase=\"socket\""));
    uint64_t us = first_run_us();
    CHECK(us < 60000000);
    (void)usleep(2000);
    metrics_phase_reached(METRICS_PHASE_FIRST_RUN);
    CHECK(first_run_us() == us);
    return 0;
}

static void test_metrics_phase_reached__twice__first_time_stays(void **state)
{
    (void)state;
    in_child(body_phases);
}

static int body_before_start(void)
{
    metrics_phase_reached(METRICS_PHASE_FIRST_RUN);
    CHECK(metrics_prometheus_open(NULL, "a", UINT64_MAX, NULL) == 0);
    CHECK(first_run_us() == 0);
    return 0;
}

static void test_metrics_phase_reached__before_the_start_that_was_given__zero(void **state)
{
    (void)state;
    in_child(body_before_start);
}

/* Everything as long as it can be, after the buffer was made. */
static int body_longest(void)
{
    char id[65];
    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    CHECK(metrics_prometheus_open(path, id, 0, NULL) == 0);
    for (unsigned i = 0; i < METRICS_INSTANCES_MAX; i++) {
        char drive_id[65];
        (void)snprintf(drive_id, sizeof(drive_id), "%064u", i);
        struct metrics_block *block = block_of(drive_id);
        CHECK(block);
        memset(block, 0xff, sizeof(*block));
    }
    memset(&metrics, 0xff, sizeof(metrics));
    for (unsigned i = 0; i < METRICS_PHASES_COUNT; i++)
        metrics_phase_reached((enum metrics_phase)i);
    CHECK(metrics_flush(NULL) == 0);
    char *text;
    size_t len;
    CHECK(fd_read_file(path, 4ul * 1024 * 1024, &text, &len, NULL) == 0);
    CHECK(strcmp(text, text_now()) == 0 && strstr(text, "} 18446744073709551615\n"));
    free(text);
    return 0;
}

static void test_metrics_flush__longest_values_of_most_devices__text_fits(void **state)
{
    (void)state;
    in_child(body_longest);
}

static int body_failing_file(void)
{
    struct err err = ERR_INIT;

    CHECK(metrics_open(line_path, NULL) == 0);
    CHECK(metrics_prometheus_open(path, "a", 0, &err) == 0);
    CHECK(mkdir(temp_path, 0700) == 0); /* where the new file would be made */
    metric_add(&metrics.uart.read_count, 3);
    CHECK(metrics_flush(&err) == 0); /* the line is there: the text's trouble is the log's */
    CHECK(metric_get(&metrics.logger.missed_metrics_count) == 0);
    CHECK(file_has_line(path, "mayfly_uart_read_count_total{id=\"a\"} 0"));
    struct stat st;
    CHECK(stat(line_path, &st) == 0 && st.st_size > 1000);
    CHECK(rmdir(temp_path) == 0 && metrics_flush(&err) == 0);
    CHECK(file_has_line(path, "mayfly_uart_read_count_total{id=\"a\"} 3"));
    CHECK(access(temp_path, F_OK) < 0);
    return 0;
}

static void test_metrics_flush__text_file_fails__old_one_stays_and_line_is_written(void **state)
{
    (void)state;
    in_child(body_failing_file);
}

/* What others have put where the new file is made is neither written nor followed. */
static int body_planted(void)
{
    static const char victim_text[] = "victim\n";
    char victim[128];
    (void)snprintf(victim, sizeof(victim), "%s/victim", work_dir);
    CHECK(metrics_prometheus_open(path, "a", 0, NULL) == 0);
    for (int kind = 0; kind < 3; kind++) {
        int fd = open(victim, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && fd_write_full(fd, victim_text, strlen(victim_text)) == 0);
        CHECK(close(fd) == 0);
        if (kind == 0)
            CHECK(link(victim, temp_path) == 0);
        else if (kind == 1)
            CHECK(symlink(victim, temp_path) == 0);
        else
            CHECK(mkfifo(temp_path, 0600) == 0);
        metric_inc(&metrics.uart.read_count);
        CHECK(metrics_flush(NULL) == 0);
        CHECK(file_has_line(victim, "victim"));
        struct stat st;
        CHECK(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1);
    }
    CHECK(file_has_line(path, "mayfly_uart_read_count_total{id=\"a\"} 3"));
    return unlink(victim);
}

static void test_metrics_flush__planted_temporary__replaced(void **state)
{
    (void)state;
    in_child(body_planted);
}

/* Beyond the limit of files a write is a signal whose end is the VM's. */
static int body_limited(void)
{
    CHECK(metrics_open(line_path, NULL) == 0);
    CHECK(metrics_prometheus_open(path, "a", 0, NULL) == 0);
    struct rlimit old;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){10000, old.rlim_max}) == 0);
    CHECK(metrics_flush(NULL) == 0);
    sigset_t pending;
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGXFSZ));
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    struct stat st;
    CHECK(stat(line_path, &st) == 0 && st.st_size > 1000);
    return 0;
}

static void test_metrics_flush__limit_of_file_size__no_signal_for_the_text(void **state)
{
    (void)state;
    in_child(body_limited);
}

static int body_same_file(void)
{
    struct err err = ERR_INIT;
    char expected[300];
    CHECK(metrics_prometheus_open(path, "a", 0, NULL) == 0);
    CHECK(metrics_open(path, &err) == -EEXIST);
    (void)snprintf(expected, sizeof(expected),
                   "Cannot initialize the metrics system due to bad user input: %s is the file of "
                   "--prometheus-path",
                   path);
    CHECK(strcmp(err.msg, expected) == 0);
    CHECK(metrics_open(line_path, &err) == 0);
    CHECK(metrics_prometheus_open(line_path, "a", 0, &err) == -EEXIST);
    (void)snprintf(expected, sizeof(expected),
                   "Cannot write the Prometheus metrics: %s is the file of the JSON lines",
                   line_path);
    CHECK(strcmp(err.msg, expected) == 0);
    return 0;
}

static void test_metrics_prometheus_open__file_of_the_lines__refused(void **state)
{
    (void)state;
    in_child(body_same_file);
}

static atomic_bool scrapes_end;

static void *scrape_thread(void *arg)
{
    (void)arg;
    while (!atomic_load(&scrapes_end)) {
        char *text;
        size_t len;
        if (metrics_prometheus_text(&text, &len) < 0)
            abort();
        free(text);
    }
    return NULL;
}

static int body_scraped(void)
{
    pthread_t threads[3];
    CHECK(metrics_open(line_path, NULL) == 0);
    CHECK(metrics_prometheus_open(NULL, "a", 0, NULL) == 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, scrape_thread, NULL) == 0);
    for (unsigned i = 0; i < METRICS_INSTANCES_MAX; i++) {
        char id[16];
        struct metrics_block *block;
        (void)snprintf(id, sizeof(id), "d%u", i);
        CHECK(metrics_block_of(id, &block) == 0);
    }
    for (unsigned i = 0; i < 300; i++) {
        (void)usleep(100); /* the others' turn, at any point of theirs */
        CHECK(metrics_flush(NULL) == 0);
    }
    atomic_store(&scrapes_end, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(metric_get(&metrics.logger.missed_metrics_count) == 0);
    return 0;
}

static void test_metrics_flush__while_others_scrape__never_gives_up(void **state)
{
    (void)state;
    in_child(body_scraped);
}

static int body_bad_paths(void)
{
    struct err err = ERR_INIT;

    CHECK(metrics_prometheus_open("/dev/null", "a", 0, &err) == -EEXIST);
    CHECK(strcmp(err.msg, "Cannot write the Prometheus metrics: /dev/null is there and no regular "
                          "file (a socket is asked for by unix:PATH)") == 0);
    CHECK(metrics_prometheus_open("/nowhere/at/all", "a", 0, &err) == -ENOENT);
    CHECK(strcmp(err.msg, "Cannot write the Prometheus metrics to /nowhere/at/all: No such file or "
                          "directory (os error 2)") == 0);
    return 0;
}

static void test_metrics_prometheus_open__bad_path__sentence(void **state)
{
    (void)state;
    in_child(body_bad_paths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_prometheus_text__after_a_flush__counters_go_on),
        cmocka_unit_test(test_metrics_prometheus_text__devices__samples_of_one_family),
        cmocka_unit_test(test_metrics_phase_reached__twice__first_time_stays),
        cmocka_unit_test(test_metrics_phase_reached__before_the_start_that_was_given__zero),
        cmocka_unit_test(test_metrics_flush__longest_values_of_most_devices__text_fits),
        cmocka_unit_test(test_metrics_flush__text_file_fails__old_one_stays_and_line_is_written),
        cmocka_unit_test(test_metrics_flush__planted_temporary__replaced),
        cmocka_unit_test(test_metrics_flush__limit_of_file_size__no_signal_for_the_text),
        cmocka_unit_test(test_metrics_prometheus_open__file_of_the_lines__refused),
        cmocka_unit_test(test_metrics_flush__while_others_scrape__never_gives_up),
        cmocka_unit_test(test_metrics_prometheus_open__bad_path__sentence),
    };

    (void)snprintf(work_dir, sizeof(work_dir), "/tmp/mayfly-prometheus-XXXXXX");
    if (!mkdtemp(work_dir))
        return 1;
    (void)snprintf(path, sizeof(path), "%s/text", work_dir);
    (void)snprintf(temp_path, sizeof(temp_path), "%s.tmp", path);
    (void)snprintf(line_path, sizeof(line_path), "%s/line", work_dir);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(work_dir);
    return failed;
}
