/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/fd.c (and the real clock of base/clock.c): pipes, eventfds, whole files, the
 * fd table.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/unit/unit.h"

/* A file in memory with `len` bytes, readable through the path put into `path`. */
static int make_file(const void *bytes, size_t len, char *path, size_t path_size)
{
    int fd = memfd_create("fd-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, bytes, len), 0);
    (void)snprintf(path, path_size, "/proc/self/fd/%d", fd);
    return fd;
}

static void test_fd_close__open_fd__closed_and_none(void **state)
{
    (void)state;
    int fd = fd_eventfd();
    int number = fd;

    assert_true(fd >= 0);
    errno = ERANGE;
    fd_close(&fd);
    assert_int_equal(fd, FD_NONE);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    fd_close(&fd);
    assert_int_equal(fd, FD_NONE);
}

static void test_fd_steal__owned__ownership_leaves(void **state)
{
    (void)state;
    int kept;
    {
        FD_AUTO int fd = fd_eventfd();
        kept = fd_steal(&fd);
        assert_int_equal(fd, FD_NONE);
    }
    assert_true(fcntl(kept, F_GETFD) >= 0);
    fd_close(&kept);
}

struct trickle {
    int fd;
    const char *bytes;
};

static void *trickle_thread(void *arg)
{
    const struct trickle *trickle = arg;

    for (const char *at = trickle->bytes; *at; at++) {
        if (write(trickle->fd, at, 1) != 1)
            break;
        (void)usleep(500);
    }
    (void)close(trickle->fd);
    return NULL;
}

static void test_fd_read_full__short_reads__goes_on(void **state)
{
    (void)state;
    int ends[2];
    char buf[16] = {0};
    pthread_t thread;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct trickle trickle = {.fd = ends[1], .bytes = "trickling"};
    assert_int_equal(pthread_create(&thread, NULL, trickle_thread, &trickle), 0);
    assert_int_equal(fd_read_full(ends[0], buf, 5), 5);
    assert_string_equal(buf, "trick");
    assert_int_equal(fd_read_full(ends[0], buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "ling", 4);
    assert_int_equal(pthread_join(thread, NULL), 0);
    fd_close(&ends[0]);
}

static void test_fd_read_full__bad_fd__errno(void **state)
{
    (void)state;
    char byte;

    assert_int_equal(fd_read_full(FD_NONE, &byte, 1), -EBADF);
    assert_int_equal(fd_pread_full(FD_NONE, &byte, 1, 0), -EBADF);
    assert_int_equal(fd_write_full(FD_NONE, "x", 1), -EBADF);
}

static void test_fd_pread_full__offsets__bytes_there(void **state)
{
    (void)state;
    char path[64];
    char buf[8] = {0};
    FD_AUTO int fd = make_file("0123456789", 10, path, sizeof(path));

    assert_int_equal(fd_pread_full(fd, buf, 4, 3), 4);
    assert_string_equal(buf, "3456");
    assert_int_equal(fd_pread_full(fd, buf, 8, 7), 3);
    assert_int_equal(fd_pread_full(fd, buf, 8, 10), 0);
    assert_int_equal(fd_pread_full(fd, buf, 8, UINT64_MAX - 3), -EOVERFLOW);
    assert_int_equal(fd_pread_full(fd, buf, 8, INT64_MAX), -EOVERFLOW);
}

static void test_fd_write_full__no_room__errno(void **state)
{
    (void)state;
    FD_AUTO int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, "x", 1), -ENOSPC);
    assert_int_equal(fd_write_full(fd, "", 0), 0);
}

static void test_fd_event__raise_and_take__counter(void **state)
{
    (void)state;
    FD_AUTO int fd = fd_eventfd();

    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(fd_event_take(fd), 0);
    assert_int_equal(fd_event_raise(fd), 0);
    assert_int_equal(fd_event_raise(fd), 0);
    assert_int_equal(fd_event_take(fd), 1);
    assert_int_equal(fd_event_take(fd), 0);
}

static void test_fd_event_raise__full_counter__counts_as_done(void **state)
{
    (void)state;
    FD_AUTO int fd = fd_eventfd();
    const uint64_t most = UINT64_MAX - 1;

    assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
    assert_int_equal(fd_event_raise(fd), 0);
    assert_int_equal(fd_event_take(fd), 1);
}

static void test_fd_event__bad_fd__errno(void **state)
{
    (void)state;
    assert_int_equal(fd_event_raise(FD_NONE), -EBADF);
    assert_int_equal(fd_event_take(FD_NONE), -EBADF);
}

static void test_fd_read_file__whole_file__bytes_and_nul(void **state)
{
    (void)state;
    static char bytes[20000];
    char path[64];
    char *buf = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    FD_AUTO int fd = make_file(bytes, sizeof(bytes), path, sizeof(path));
    assert_true(fd >= 0);
    assert_int_equal(fd_read_file(path, sizeof(bytes), &buf, &len, &err), 0);
    assert_int_equal(len, sizeof(bytes));
    assert_memory_equal(buf, bytes, sizeof(bytes));
    assert_int_equal(buf[len], 0);
    free(buf);
}

static void test_fd_read_file__one_byte_above_limit__efbig(void **state)
{
    (void)state;
    char path[64];
    char *buf = NULL;
    size_t len = 99;
    struct err err = ERR_INIT;
    FD_AUTO int fd = make_file("0123456789", 10, path, sizeof(path));

    assert_true(fd >= 0);
    assert_int_equal(fd_read_file(path, 9, &buf, &len, &err), -EFBIG);
    assert_null(buf);
    assert_int_equal(len, 99);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "9 bytes"));
    assert_int_equal(fd_read_file(path, 10, &buf, &len, &err), 0);
    assert_int_equal(len, 10);
    free(buf);
}

static void test_fd_read_file__size_unknown__read_to_end_or_limit(void **state)
{
    (void)state;
    char *buf = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;

    /* /proc files say size 0. */
    assert_int_equal(fd_read_file("/proc/cpuinfo", 64 * 1024 * 1024, &buf, &len, &err), 0);
    assert_true(len > 100);
    assert_int_equal(strlen(buf), len);
    free(buf);
    buf = NULL;
    assert_int_equal(fd_read_file("/dev/zero", 100000, &buf, &len, &err), -EFBIG);
    assert_null(buf);
}

static void test_fd_read_file__empty_file__empty_text(void **state)
{
    (void)state;
    char *buf = NULL;
    size_t len = 99;

    assert_int_equal(fd_read_file("/dev/null", 0, &buf, &len, NULL), 0);
    assert_int_equal(len, 0);
    assert_string_equal(buf, "");
    free(buf);
}

static void test_fd_read_file__absent_or_directory__sentence_with_path(void **state)
{
    (void)state;
    char *buf = NULL;
    size_t len;
    struct err err = ERR_INIT;

    assert_int_equal(fd_read_file("/nowhere/at-all", 10, &buf, &len, &err), -ENOENT);
    assert_string_equal(err.msg,
                        "Cannot open /nowhere/at-all: No such file or directory (os error 2)");
    assert_int_equal(fd_read_file("/proc", 10, &buf, &len, &err), -EISDIR);
    assert_non_null(strstr(err.msg, "/proc: Is a directory (os error 21)"));
    assert_null(buf);
}

/* Limits belong to the process, so a child changes its own. Yields the child's exit code. */
static int presize_in_child(rlim_t limit_count, rlim_t hard_count, int busy_fd)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {.rlim_cur = limit_count, .rlim_max = hard_count};
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            _exit(10);
        if (busy_fd >= 0 && dup2(STDIN_FILENO, busy_fd) != busy_fd)
            _exit(11);
        if (fd_presize_table() != 0)
            _exit(12);
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
            limit.rlim_cur != (hard_count < 2048 ? hard_count : 2048))
            _exit(14);
        bool busy = fcntl((int)limit_count - 1, F_GETFD) >= 0;
        _exit(busy == (busy_fd >= 0) ? 0 : 13);
    }
    int status = 0;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_fd_presize_table__any_limit__no_fd_left_or_lost(void **state)
{
    (void)state;
    assert_int_equal(presize_in_child(256, 256, -1), 0);
    assert_int_equal(presize_in_child(256, 256, 255), 0);
    assert_int_equal(presize_in_child(256, 300, 255), 0);
}

static void test_fd_presize_table__low_soft_limit__raised(void **state)
{
    (void)state;
    assert_int_equal(presize_in_child(1024, 4096, -1), 0);
    assert_int_equal(presize_in_child(1024, 1500, -1), 0);
}

/* In a child: 0 when fds 0 and 1, closed before, are /dev/null and nothing else was opened. */
static int child_fills(void)
{
    int next = dup(2);
    (void)close(next);
    (void)close(0);
    (void)close(1);
    if (fd_fill_standard() < 0)
        return 2;
    int now = dup(2);
    return write(1, "x", 1) == 1 && read(0, &now, 1) == 0 && now == next ? 0 : 1;
}

static void test_fd_fill_standard__closed_ones__are_dev_null(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(child_fills());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_clock_real__two_reads__go_forward(void **state)
{
    (void)state;
    uint64_t first_ns = clock_now_ns(clock_real());
    uint64_t cpu_ns = clock_process_cpu_ns();

    assert_true(first_ns > 0);
    assert_true(cpu_ns > 0);
    (void)usleep(1000);
    assert_true(clock_now_ns(clock_real()) >= first_ns + NS_PER_MS);
    assert_true(clock_process_cpu_ns() >= cpu_ns);
}

static void test_fd_pwrite_full__offset__bytes_there_and_position_kept(void **state)
{
    (void)state;
    char got[8] = {0};
    FD_AUTO int fd = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(fd_pwrite_full(fd, "abc", 3, 2), 0);
    assert_int_equal(read(fd, got, sizeof(got)), 5);
    assert_memory_equal(got, "\0\0abc", 5);
}

static void test_fd_pwrite_full__cannot_be_written__errno(void **state)
{
    (void)state;
    FD_AUTO int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fd_pwrite_full(fd, "abc", 3, 0), -EBADF);
}

static void test_fd_is_file_at__same_other_and_none__told_apart(void **state)
{
    (void)state;
    struct stat null;
    assert_int_equal(stat("/dev/null", &null), 0);
    assert_true(fd_is_file_at(&null, "/dev/../dev/null"));
    assert_false(fd_is_file_at(&null, "/dev/zero"));
    assert_false(fd_is_file_at(&null, "/dev/there-is-no-such"));
    assert_false(fd_is_file_at(&null, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fd_close__open_fd__closed_and_none),
        cmocka_unit_test(test_fd_steal__owned__ownership_leaves),
        cmocka_unit_test(test_fd_read_full__short_reads__goes_on),
        cmocka_unit_test(test_fd_read_full__bad_fd__errno),
        cmocka_unit_test(test_fd_pread_full__offsets__bytes_there),
        cmocka_unit_test(test_fd_write_full__no_room__errno),
        cmocka_unit_test(test_fd_event__raise_and_take__counter),
        cmocka_unit_test(test_fd_event_raise__full_counter__counts_as_done),
        cmocka_unit_test(test_fd_event__bad_fd__errno),
        cmocka_unit_test(test_fd_read_file__whole_file__bytes_and_nul),
        cmocka_unit_test(test_fd_read_file__one_byte_above_limit__efbig),
        cmocka_unit_test(test_fd_read_file__size_unknown__read_to_end_or_limit),
        cmocka_unit_test(test_fd_read_file__empty_file__empty_text),
        cmocka_unit_test(test_fd_read_file__absent_or_directory__sentence_with_path),
        cmocka_unit_test(test_fd_pwrite_full__offset__bytes_there_and_position_kept),
        cmocka_unit_test(test_fd_pwrite_full__cannot_be_written__errno),
        cmocka_unit_test(test_fd_is_file_at__same_other_and_none__told_apart),
        cmocka_unit_test(test_fd_presize_table__any_limit__no_fd_left_or_lost),
        cmocka_unit_test(test_fd_presize_table__low_soft_limit__raised),
        cmocka_unit_test(test_fd_fill_standard__closed_ones__are_dev_null),
        cmocka_unit_test(test_clock_real__two_reads__go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
