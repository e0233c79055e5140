/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/log.c: the line's form by regular expression, levels, module filter, sinks
 * that fail, limited lines, quoting. Every test opens a sink of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "tests/unit/unit.h"

#define TIME_RE "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{9} "

static char work_dir[64];
static char sink_path[96];

static void set_log(enum log_level level, bool show_level, bool show_origin)
{
    const struct log_settings settings = {
        .level = level, .show_level = show_level, .show_origin = show_origin};

    log_set(&settings);
}

/* A fresh sink and default settings for each test. */
static int setup_sink(void **state)
{
    (void)state;
    (void)snprintf(sink_path, sizeof(sink_path), "%s/sink.log", work_dir);
    (void)unlink(sink_path);
    set_log(LOG_LEVEL_INFO, false, false);
    log_set_module(NULL);
    log_name_thread("main");
    return log_open(sink_path, NULL);
}

/* What the sink holds; the caller frees. */
static char *sink_text(void)
{
    char *text = NULL;
    size_t len;

    assert_int_equal(fd_read_file(sink_path, 1024 * 1024, &text, &len, NULL), 0);
    assert_int_equal(strlen(text), len);
    return text;
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;

    for (; *text; text++)
        count += *text == '\n' ? 1 : 0;
    return count;
}

static void assert_sink_matches(const char *pattern)
{
    regex_t regex;
    char *text = sink_text();

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("'%s' does not match '%s'", text, pattern);
    regfree(&regex);
    free(text);
}

static void assert_sink_equals_after_time(const char *rest)
{
    char *text = sink_text();

    assert_true(strlen(text) > 30);
    assert_string_equal(text + 30, rest);
    free(text);
}

static void test_log_line__defaults__time_id_thread_message(void **state)
{
    (void)state;
    log_info("Running %s v%d", "it", 7);
    assert_sink_matches(TIME_RE "\\[test-id:main\\] Running it v7\n$");
}

static void test_log_line__level_shown__after_thread(void **state)
{
    (void)state;
    set_log(LOG_LEVEL_TRACE, true, false);
    log_error("a");
    log_warn("b");
    log_info("c");
    log_debug("d");
    log_line(LOG_LEVEL_TRACE, __FILE__, __LINE__, "e");
    assert_sink_matches(TIME_RE "\\[test-id:main:ERROR\\] a\n"
                                "[^ ]+ \\[test-id:main:WARN\\] b\n"
                                "[^ ]+ \\[test-id:main:INFO\\] c\n"
                                "[^ ]+ \\[test-id:main:DEBUG\\] d\n"
                                "[^ ]+ \\[test-id:main:TRACE\\] e\n$");
}

static void test_log_line__origin_shown__path_from_root(void **state)
{
    (void)state;
    set_log(LOG_LEVEL_INFO, false, true);
    log_info("x");
    assert_sink_matches(TIME_RE "\\[test-id:main:src/tests/unit/base/test_log\\.c:[0-9]+\\] x\n$");
}

static void test_log_line__both_shown__level_then_origin(void **state)
{
    (void)state;
    set_log(LOG_LEVEL_INFO, true, true);
    log_line(LOG_LEVEL_WARN, "../../vmm/loop/loop.c", 12, "x");
    assert_sink_equals_after_time("[test-id:main:WARN:src/vmm/loop/loop.c:12] x\n");
}

static void test_log_line__unnamed_thread__dash(void **state)
{
    (void)state;
    log_name_thread(NULL);
    log_info("x");
    assert_sink_equals_after_time("[test-id:-] x\n");
}

static void *named_thread(void *arg)
{
    log_name_thread(arg);
    log_info("from %s", (const char *)arg);
    return NULL;
}

static void test_log_name_thread__other_thread__own_name(void **state)
{
    (void)state;
    char name[] = "fc_vcpu 0";
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, named_thread, name), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    log_info("x");
    assert_sink_matches(TIME_RE
                        "\\[test-id:fc_vcpu 0\\] from fc_vcpu 0\n[^ ]+ \\[test-id:main\\] x\n$");
}

static void test_log_line__level_below__not_written(void **state)
{
    (void)state;
    set_log(LOG_LEVEL_WARN, false, false);
    log_info("no");
    log_warn("yes");
    assert_sink_equals_after_time("[test-id:main] yes\n");
    assert_true(log_on(LOG_LEVEL_ERROR));
    assert_true(log_on(LOG_LEVEL_WARN));
    assert_false(log_on(LOG_LEVEL_INFO));
    assert_false(log_on(LOG_LEVEL_OFF));
}

static void test_log_line__off__nothing_written(void **state)
{
    (void)state;
    set_log(LOG_LEVEL_OFF, false, false);
    log_error("no");
    char *text = sink_text();
    assert_string_equal(text, "");
    free(text);
}

static void test_log_get__after_set__same(void **state)
{
    (void)state;
    set_log(LOG_LEVEL_DEBUG, true, false);
    struct log_settings got = log_get();
    assert_int_equal(got.level, LOG_LEVEL_DEBUG);
    assert_true(got.show_level);
    assert_false(got.show_origin);
}

static void test_log_line__longest_message__whole(void **state)
{
    (void)state;
    log_info("%0*d", (int)LOG_MSG_MAX_SIZE - 1, 7);
    char *text = sink_text();
    assert_int_equal(strlen(text), 30 + strlen("[test-id:main] ") + LOG_MSG_MAX_SIZE - 1 + 1);
    assert_string_equal(text + strlen(text) - 5, "0007\n");
    free(text);
}

static void test_log_line__too_long_message__cut_with_dots(void **state)
{
    (void)state;
    log_info("%0*d", 100000, 7);
    char *text = sink_text();
    assert_int_equal(strlen(text), 30 + strlen("[test-id:main] ") + LOG_MSG_MAX_SIZE - 1 + 1);
    assert_string_equal(text + strlen(text) - 5, "0...\n");
    free(text);
}

static void test_log_line__errno__kept(void **state)
{
    (void)state;
    errno = ERANGE;
    log_info("x");
    assert_int_equal(errno, ERANGE);
}

static void test_log_set_module__prefix__only_its_files(void **state)
{
    (void)state;
    log_set_module("vmm/loop");
    log_line(LOG_LEVEL_INFO, "../vmm/loop/loop.c", 1, "one");
    log_line(LOG_LEVEL_INFO, "../vmm/bus/bus.c", 1, "two");
    log_line(LOG_LEVEL_INFO, "vmm", 1, "three");
    log_set_module("src/vmm/bus");
    log_line(LOG_LEVEL_INFO, "../vmm/bus/bus.c", 1, "four");
    char longer[LOG_MODULE_MAX_LEN + 2];
    memset(longer, 'v', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memcpy(longer, "vmm/bus/", strlen("vmm/bus/"));
    log_set_module(longer);
    log_line(LOG_LEVEL_INFO, "../vmm/bus/bus.c", 1, "too long a prefix");
    log_set_module("");
    log_line(LOG_LEVEL_INFO, "vmm", 1, "five");
    assert_sink_matches("one\n[^\n]* four\n[^\n]* five\n$");
    char *text = sink_text();
    assert_int_equal(count_lines(text), 3);
    free(text);
}

static void test_log_open__existing_file__appended(void **state)
{
    (void)state;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/old.log", work_dir);
    FD_AUTO int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_full(fd, "old\n", 4), 0);

    assert_int_equal(log_open(path, NULL), 0);
    log_info("new");
    (void)snprintf(sink_path, sizeof(sink_path), "%s", path);
    char *text = sink_text();
    assert_memory_equal(text, "old\n", 4);
    assert_int_equal(count_lines(text), 2);
    free(text);
}

static void test_log_open__no_such_folder__old_sink_stays(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    assert_int_equal(log_open("/nowhere/at/all", &err), -ENOENT);
    assert_string_equal(err.msg,
                        "Failed to open target file: No such file or directory (os error 2)");
    log_info("still here");
    assert_sink_equals_after_time("[test-id:main] still here\n");
}

static void test_log_open__again__no_fd_leaks(void **state)
{
    (void)state;
    int probe = dup(0);
    fd_close(&(int){probe});
    for (int i = 0; i < 10; i++)
        assert_int_equal(log_open(sink_path, NULL), 0);
    int after = dup(0);
    assert_int_equal(after, probe);
    fd_close(&after);
}

static void test_log_line__no_room__counted_as_missed(void **state)
{
    (void)state;
    uint64_t before = metric_get(&metrics.logger.missed_log_count);

    assert_int_equal(log_open("/dev/full", NULL), 0);
    log_info("lost");
    log_info("lost");
    assert_int_equal(metric_get(&metrics.logger.missed_log_count) - before, 2);
}

static void test_log_line__fifo_without_reader__never_blocks(void **state)
{
    (void)state;
    char path[96];
    uint64_t before = metric_get(&metrics.logger.missed_log_count);

    (void)snprintf(path, sizeof(path), "%s/log.fifo", work_dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(log_open(path, NULL), 0);
    /* 64 KiB fit, less what stays free at the end of each page; the rest is lost and counted. */
    for (int i = 0; i < 100; i++)
        log_info("%01000d", i);
    uint64_t missed = metric_get(&metrics.logger.missed_log_count) - before;
    assert_in_range(missed, 30, 60);
    assert_int_equal(unlink(path), 0);
}

static void test_log_guest_line__burst__ten_then_announced(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    set_log(LOG_LEVEL_INFO, true, false);
    for (int i = 0; i < 15; i++)
        log_guest_line(&limit, LOG_LEVEL_ERROR, __FILE__, __LINE__, "line %d", i);
    /* As if five seconds had gone by. */
    atomic_store(&limit.full_at_ns, 0);
    log_guest_line(&limit, LOG_LEVEL_ERROR, __FILE__, __LINE__, "line 15");

    char *text = sink_text();
    assert_int_equal(count_lines(text), 12);
    assert_non_null(strstr(text, "ERROR] line 9\n"));
    assert_null(strstr(text, "line 10\n"));
    const char *told = strstr(text, "[test-id:main:WARN] 5 messages were suppressed due to rate "
                                    "limiting\n");
    assert_non_null(told);
    assert_non_null(strstr(told, "ERROR] line 15\n"));
    free(text);
}

static void test_log_guest_error__two_call_sites__limits_of_their_own(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        log_guest_error("first");
        log_guest_warn("second");
    }
    char *text = sink_text();
    assert_int_equal(count_lines(text), 20);
    free(text);
}

static void test_log_guest_line__level_off__no_token_used(void **state)
{
    (void)state;
    struct log_limit limit = {0};

    set_log(LOG_LEVEL_ERROR, false, false);
    log_guest_line(&limit, LOG_LEVEL_WARN, __FILE__, __LINE__, "no");
    assert_int_equal(atomic_load(&limit.full_at_ns), 0);
}

static void test_log_level_from_name__names__any_case(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum log_level level;
    } rows[] = {
        {"Off", LOG_LEVEL_OFF},     {"TRACE", LOG_LEVEL_TRACE}, {"debug", LOG_LEVEL_DEBUG},
        {"iNFO", LOG_LEVEL_INFO},   {"Warn", LOG_LEVEL_WARN},   {"warning", LOG_LEVEL_WARN},
        {"Error", LOG_LEVEL_ERROR},
    };
    enum log_level level;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(log_level_from_name(rows[i].name, &level), 0);
        assert_int_equal(level, rows[i].level);
    }
}

static void test_log_level_from_name__other__refused(void **state)
{
    (void)state;
    enum log_level level = LOG_LEVEL_DEBUG;

    assert_int_equal(log_level_from_name("", &level), -EINVAL);
    assert_int_equal(log_level_from_name("Inf", &level), -EINVAL);
    assert_int_equal(log_level_from_name("Info ", &level), -EINVAL);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
}

static void test_log_quote__bytes__printable_or_hex(void **state)
{
    (void)state;
    char buf[64];

    assert_ptr_equal(log_quote("a b~", 4, buf, sizeof(buf)), buf);
    assert_string_equal(buf, "a b~");
    assert_string_equal(log_quote("\n\0\x7f\xff", 4, buf, sizeof(buf)), "\\x0a\\x00\\x7f\\xff");
    assert_string_equal(log_quote("", 0, buf, sizeof(buf)), "");
}

static void test_log_quote__small_buffer__cut_with_dots(void **state)
{
    (void)state;
    char buf[10] = {0};

    assert_string_equal(log_quote("123456789", 9, buf, 10), "123456789");
    assert_string_equal(log_quote("1234567890", 10, buf, 10), "123456...");
    assert_string_equal(log_quote("12345\n7", 7, buf, 10), "12345...");
    assert_string_equal(log_quote("\n\n\n", 3, buf, 10), "\\x0a...");
    assert_string_equal(log_quote("abc", 3, buf, 3), "..");
    assert_string_equal(log_quote("abc", 3, buf, 1), "");
    buf[0] = '#';
    (void)log_quote("abc", 3, buf, 0);
    assert_int_equal(buf[0], '#');
}

#define SINK_TEST(name) cmocka_unit_test_setup(name, setup_sink)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SINK_TEST(test_log_line__defaults__time_id_thread_message),
        SINK_TEST(test_log_line__level_shown__after_thread),
        SINK_TEST(test_log_line__origin_shown__path_from_root),
        SINK_TEST(test_log_line__both_shown__level_then_origin),
        SINK_TEST(test_log_line__unnamed_thread__dash),
        SINK_TEST(test_log_name_thread__other_thread__own_name),
        SINK_TEST(test_log_line__level_below__not_written),
        SINK_TEST(test_log_line__off__nothing_written),
        SINK_TEST(test_log_get__after_set__same),
        SINK_TEST(test_log_line__longest_message__whole),
        SINK_TEST(test_log_line__too_long_message__cut_with_dots),
        SINK_TEST(test_log_line__errno__kept),
        SINK_TEST(test_log_set_module__prefix__only_its_files),
        SINK_TEST(test_log_open__existing_file__appended),
        SINK_TEST(test_log_open__no_such_folder__old_sink_stays),
        SINK_TEST(test_log_open__again__no_fd_leaks),
        SINK_TEST(test_log_line__no_room__counted_as_missed),
        SINK_TEST(test_log_line__fifo_without_reader__never_blocks),
        SINK_TEST(test_log_guest_line__burst__ten_then_announced),
        SINK_TEST(test_log_guest_error__two_call_sites__limits_of_their_own),
        SINK_TEST(test_log_guest_line__level_off__no_token_used),
        cmocka_unit_test(test_log_level_from_name__names__any_case),
        cmocka_unit_test(test_log_level_from_name__other__refused),
        cmocka_unit_test(test_log_quote__bytes__printable_or_hex),
        cmocka_unit_test(test_log_quote__small_buffer__cut_with_dots),
    };

    (void)snprintf(work_dir, sizeof(work_dir), "/tmp/mayfly-log-XXXXXX");
    if (!mkdtemp(work_dir))
        return 1;
    log_init("test-id");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/sink.log", work_dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/old.log", work_dir);
    (void)unlink(path);
    (void)rmdir(work_dir);
    return failed;
}
