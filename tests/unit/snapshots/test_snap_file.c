/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two files of a snapshot: names are taken at the commit, in their order, and what cannot be
 * replaced is written in place. Single thread.
 */
#include "snapshots/snap_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE 8192u
#define OLD_MEMORY "old memory"
#define OLD_STATE "old state"
#define NEW_MEMORY "new memory"
#define NEW_STATE "new state"

static struct {
    char dir[32];
    char memory_path[64];
    char state_path[64];
    struct snap_file memory;
    struct snap_file state;
} fix;

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The file begins with the text. */
static void expect_text(const char *path, const char *text)
{
    char got[32] = {0};
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("no %s", path);
    assert_true(fread(got, 1, sizeof(got) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(got, text);
}

static bool exists(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0;
}

/* How many names the directory has. */
static uint32_t names_count(void)
{
    uint32_t count = 0;
    DIR *dir = opendir(fix.dir);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count - 2;
}

static int setup(void **state)
{
    (void)state;
    memset(&fix, 0, sizeof(fix));
    fix.memory.fd = fix.state.fd = FD_NONE;
    (void)strcpy(fix.dir, "/tmp/mayfly-snap.XXXXXX");
    if (!mkdtemp(fix.dir))
        return -1;
    (void)snprintf(fix.memory_path, sizeof(fix.memory_path), "%s/memory", fix.dir);
    (void)snprintf(fix.state_path, sizeof(fix.state_path), "%s/state", fix.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    snap_file_drop(&fix.memory);
    snap_file_drop(&fix.state);
    (void)snprintf(command, sizeof(command), "rm -rf %s", fix.dir);
    return system(command);
}

static void old_pair(void)
{
    make_file(fix.memory_path, OLD_MEMORY);
    make_file(fix.state_path, OLD_STATE);
}

static void open_state(void)
{
    struct err err = ERR_INIT;
    int rc = snap_file_open(&fix.state, fix.state_path, "snapshot", 0, false, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void open_memory(bool merges)
{
    struct err err = ERR_INIT;
    int rc = snap_file_open(&fix.memory, fix.memory_path, "memory", MEMORY_SIZE, merges, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void open_both(void)
{
    open_state();
    open_memory(false);
}

static void write_both(void)
{
    struct err err = ERR_INIT;
    assert_int_equal(snap_file_begin(&fix.memory, &fix.state, &err), 0);
    assert_int_equal(pwrite(fix.memory.fd, NEW_MEMORY, strlen(NEW_MEMORY), 0), strlen(NEW_MEMORY));
    assert_int_equal(write(fix.state.fd, NEW_STATE, strlen(NEW_STATE)), strlen(NEW_STATE));
}

static int commit(struct err *ret_err)
{
    *ret_err = (struct err)ERR_INIT;
    return snap_file_commit(&fix.memory, &fix.state, ret_err);
}

static void drop_both(void)
{
    snap_file_drop(&fix.memory);
    snap_file_drop(&fix.state);
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void test_snap_file_commit__nothing_was_there__both_take_their_names(void **state)
{
    (void)state;
    struct err err;
    open_both();
    assert_false(exists(fix.memory_path) || exists(fix.state_path));
    write_both();
    assert_int_equal(commit(&err), 0);
    drop_both();
    expect_text(fix.memory_path, NEW_MEMORY);
    expect_text(fix.state_path, NEW_STATE);
    assert_int_equal(size_of(fix.memory_path), MEMORY_SIZE);
    assert_int_equal(size_of(fix.state_path), strlen(NEW_STATE));
    assert_int_equal(names_count(), 2);
}

static void test_snap_file_commit__old_pair__replaced(void **state)
{
    (void)state;
    struct err err;
    old_pair();
    int old_fd = open(fix.memory_path, O_RDONLY | O_CLOEXEC);
    char got[16] = {0};
    open_both();
    write_both();
    assert_int_equal(commit(&err), 0);
    drop_both();
    expect_text(fix.memory_path, NEW_MEMORY);
    expect_text(fix.state_path, NEW_STATE);
    assert_int_equal(names_count(), 2);
    /* Who has the old one open, as a VM that runs from it, keeps it. */
    assert_int_equal(read(old_fd, got, sizeof(got)), strlen(OLD_MEMORY));
    assert_string_equal(got, OLD_MEMORY);
    fd_close(&old_fd);
}

static void test_snap_file_drop__not_committed__old_pair_stays_alone(void **state)
{
    (void)state;
    old_pair();
    open_both();
    write_both();
    assert_int_equal(names_count(), 4);
    drop_both();
    assert_int_equal(names_count(), 2);
    expect_text(fix.memory_path, OLD_MEMORY);
    expect_text(fix.state_path, OLD_STATE);
}

static void test_snap_file_drop__never_opened__fine(void **state)
{
    (void)state;
    drop_both();
    assert_int_equal(names_count(), 0);
}

/* The memory's name cannot be taken: what was there is there again. */
static void test_snap_file_commit__memory_cannot_be_renamed__old_state_is_back(void **state)
{
    (void)state;
    struct err err;
    char inner[80];
    make_file(fix.state_path, OLD_STATE);
    open_both();
    write_both();
    (void)snprintf(inner, sizeof(inner), "%s/full", fix.memory_path);
    assert_int_equal(mkdir(fix.memory_path, 0700), 0);
    make_file(inner, "x");
    assert_int_equal(commit(&err), -EISDIR);
    assert_non_null(strstr(err.msg, "Cannot perform rename on the memory backing file: "));
    expect_text(fix.state_path, OLD_STATE);
    expect_text(inner, "x");
    drop_both();
    assert_int_equal(names_count(), 2);
}

/* The old state cannot be taken away: then the old memory stays too. */
static void test_snap_file_commit__old_state_cannot_go__old_memory_stays(void **state)
{
    (void)state;
    struct err err;
    make_file(fix.memory_path, OLD_MEMORY);
    open_both();
    write_both();
    assert_int_equal(mkdir(fix.state_path, 0700), 0);
    assert_true(commit(&err) < 0);
    assert_non_null(strstr(err.msg, "Cannot perform rename on the snapshot backing file: "));
    expect_text(fix.memory_path, OLD_MEMORY);
    drop_both();
    assert_int_equal(names_count(), 2);
}

/* Its memory has another name, and is not touched. */
static void test_snap_file_commit__state_cannot_be_renamed__old_state_is_back(void **state)
{
    (void)state;
    struct err err;
    make_file(fix.state_path, OLD_STATE);
    open_both();
    write_both();
    assert_int_equal(unlink(fix.state.temp_path), 0);
    assert_int_equal(commit(&err), -ENOENT);
    assert_non_null(strstr(err.msg, "Cannot perform rename on the snapshot backing file: "));
    expect_text(fix.state_path, OLD_STATE);
    assert_false(exists(fix.memory_path));
    drop_both();
    assert_int_equal(names_count(), 1);
}

/* A state that is written where it is says nothing that may not be there. */
static void test_snap_file_commit__memory_is_not_durable__state_in_place_is_empty(void **state)
{
    (void)state;
    struct err err;
    int pipe_fds[2];
    char link_path[80];
    (void)snprintf(link_path, sizeof(link_path), "%s.link", fix.state_path);
    make_file(fix.state_path, OLD_STATE);
    assert_int_equal(link(fix.state_path, link_path), 0);
    open_both();
    write_both();
    assert_int_equal(pipe(pipe_fds), 0);
    assert_true(dup2(pipe_fds[1], fix.memory.fd) >= 0); /* that cannot be made durable */
    assert_int_equal(commit(&err), -EINVAL);
    assert_int_equal(size_of(fix.state_path), 0);
    assert_false(exists(fix.memory_path));
    drop_both();
    fd_close(&pipe_fds[0]);
    fd_close(&pipe_fds[1]);
    assert_int_equal(names_count(), 2);
}

static void test_snap_file_open__hard_link__written_in_place(void **state)
{
    (void)state;
    struct err err;
    char other[64];
    old_pair();
    (void)snprintf(other, sizeof(other), "%s/other", fix.dir);
    assert_int_equal(link(fix.state_path, other), 0);
    open_both();
    assert_true(fix.state.in_place);
    assert_false(fix.memory.in_place);
    expect_text(other, OLD_STATE); /* until it begins */
    write_both();
    assert_int_equal(commit(&err), 0);
    drop_both();
    expect_text(other, NEW_STATE);
    assert_int_equal(size_of(other), strlen(NEW_STATE));
    assert_int_equal(names_count(), 3);
}

static void test_snap_file_open__symbolic_link__its_target_is_written(void **state)
{
    (void)state;
    struct err err;
    char target[64];
    (void)snprintf(target, sizeof(target), "%s/target", fix.dir);
    make_file(target, OLD_MEMORY);
    assert_int_equal(symlink("target", fix.memory_path), 0);
    open_both();
    assert_true(fix.memory.in_place);
    write_both();
    assert_int_equal(commit(&err), 0);
    drop_both();
    expect_text(target, NEW_MEMORY);
    assert_int_equal(size_of(target), MEMORY_SIZE);
    char got[16] = {0};
    assert_int_equal(readlink(fix.memory_path, got, sizeof(got)), strlen("target"));
}

/* As a jail may give it: the link is somebody's, the file is to be made. */
static void test_snap_file_open__link_to_nothing__its_target_is_made(void **state)
{
    (void)state;
    struct err err;
    char target[64];
    (void)snprintf(target, sizeof(target), "%s/target", fix.dir);
    assert_int_equal(symlink("target", fix.memory_path), 0);
    open_both();
    write_both();
    assert_int_equal(commit(&err), 0);
    drop_both();
    expect_text(target, NEW_MEMORY);
    assert_int_equal(size_of(target), MEMORY_SIZE);
    assert_int_equal(names_count(), 3);
}

/* Memory that changes in place has no state meanwhile. */
static void test_snap_file_begin__memory_in_place__old_state_is_gone(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char other[64];
    old_pair();
    (void)snprintf(other, sizeof(other), "%s/other", fix.dir);
    assert_int_equal(link(fix.memory_path, other), 0);
    open_both();
    assert_true(exists(fix.state_path));
    assert_int_equal(snap_file_begin(&fix.memory, &fix.state, &err), 0);
    assert_false(exists(fix.state_path));
}

static void test_snap_file_open__merge_with_its_base__in_place_and_kept(void **state)
{
    (void)state;
    struct err err;
    old_pair();
    assert_int_equal(truncate(fix.memory_path, MEMORY_SIZE), 0);
    open_state();
    open_memory(true);
    assert_true(fix.memory.in_place && fix.memory.was_same);
    assert_int_equal(snap_file_begin(&fix.memory, &fix.state, &err), 0);
    assert_int_equal(pwrite(fix.memory.fd, "OLD", 3, 0), 3);
    assert_int_equal(commit(&err), 0);
    expect_text(fix.memory_path, "OLD memory");
}

static void test_snap_file_open__merge_with_another_size__written_anew(void **state)
{
    (void)state;
    old_pair();
    open_memory(true);
    assert_false(fix.memory.in_place);
    assert_false(fix.memory.was_same);
}

static void expect_open_fails(const char *path, int code, const char *sentence)
{
    struct err err = ERR_INIT;
    char whole[200];
    assert_int_equal(snap_file_open(&fix.memory, path, "memory", 0, false, &err), code);
    (void)snprintf(whole, sizeof(whole), "Cannot perform open on the memory backing file: %s (%s)",
                   sentence, path);
    assert_string_equal(err.msg, whole);
    assert_int_equal(fix.memory.fd, FD_NONE);
}

static void test_snap_file_open__directory__refused(void **state)
{
    (void)state;
    expect_open_fails(fix.dir, -EISDIR, "Is a directory (os error 21)");
}

static void test_snap_file_open__fifo__refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(fix.memory_path, 0600), 0);
    struct err err = ERR_INIT;
    assert_int_equal(snap_file_open(&fix.memory, fix.memory_path, "memory", 0, false, &err),
                     -EINVAL);
    assert_non_null(strstr(err.msg, "it is no regular file, but a pipe ("));
    assert_non_null(strstr(err.msg, fix.memory_path));
    assert_int_equal(fix.memory.fd, FD_NONE);
}

static void test_snap_file_open__missing_directory__refused(void **state)
{
    (void)state;
    expect_open_fails("/nowhere/memory", -ENOENT, "No such file or directory (os error 2)");
}

static void test_snap_file_open__path_too_long__refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char path[SNAP_PATH_MAX_SIZE];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(snap_file_open(&fix.memory, path, "memory", 0, false, &err), -ENAMETOOLONG);
    assert_int_equal(fix.memory.fd, FD_NONE);
}

/* The longest name that the file system takes: what is made beside it has another, shorter one. */
static void test_snap_file_open__name_of_255_bytes__takes_it(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char path[sizeof(fix.dir) + NAME_MAX + 2];
    (void)snprintf(path, sizeof(path), "%s/%0*d", fix.dir, NAME_MAX, 7);
    int rc = snap_file_open(&fix.memory, path, "memory", MEMORY_SIZE, false, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    open_state();
    write_both();
    assert_int_equal(commit(&err), 0);
    assert_int_equal(size_of(path), MEMORY_SIZE);
    assert_int_equal(names_count(), 2);
}

static void test_snap_file_open__name_of_256_bytes__refused(void **state)
{
    (void)state;
    char path[sizeof(fix.dir) + NAME_MAX + 3];
    (void)snprintf(path, sizeof(path), "%s/%0*d", fix.dir, NAME_MAX + 1, 7);
    struct err err = ERR_INIT;
    assert_int_equal(snap_file_open(&fix.memory, path, "memory", 0, false, &err), -ENAMETOOLONG);
    assert_int_equal(names_count(), 0);
}

/* What another process of this number left behind is not touched. */
static void test_snap_file_open__name_beside_is_taken__another_is_used(void **state)
{
    (void)state;
    char taken[96];
    (void)snprintf(taken, sizeof(taken), "%s/mayfly.%d.0.tmp", fix.dir, (int)getpid());
    make_file(taken, "theirs");
    open_memory(false);
    assert_string_not_equal(fix.memory.temp_path, taken);
    snap_file_drop(&fix.memory);
    expect_text(taken, "theirs");
    assert_int_equal(names_count(), 1);
}

/* The directory takes no new names, the file itself can be written. */
static void test_snap_file_open__directory_is_not_ours__written_in_place(void **state)
{
    (void)state;
    struct err err;
    if (geteuid() == 0)
        skip();
    old_pair();
    assert_int_equal(chmod(fix.dir, 0500), 0);
    open_both();
    assert_true(fix.memory.in_place && fix.state.in_place);
    write_both();
    assert_int_equal(commit(&err), 0);
    assert_int_equal(chmod(fix.dir, 0700), 0);
    expect_text(fix.memory_path, NEW_MEMORY);
    expect_text(fix.state_path, NEW_STATE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_file_commit__nothing_was_there__both_take_their_names),
        TEST(test_snap_file_commit__old_pair__replaced),
        TEST(test_snap_file_drop__not_committed__old_pair_stays_alone),
        TEST(test_snap_file_drop__never_opened__fine),
        TEST(test_snap_file_commit__memory_cannot_be_renamed__old_state_is_back),
        TEST(test_snap_file_commit__old_state_cannot_go__old_memory_stays),
        TEST(test_snap_file_commit__state_cannot_be_renamed__old_state_is_back),
        TEST(test_snap_file_commit__memory_is_not_durable__state_in_place_is_empty),
        TEST(test_snap_file_open__hard_link__written_in_place),
        TEST(test_snap_file_open__symbolic_link__its_target_is_written),
        TEST(test_snap_file_open__link_to_nothing__its_target_is_made),
        TEST(test_snap_file_begin__memory_in_place__old_state_is_gone),
        TEST(test_snap_file_open__merge_with_its_base__in_place_and_kept),
        TEST(test_snap_file_open__merge_with_another_size__written_anew),
        TEST(test_snap_file_open__directory__refused),
        TEST(test_snap_file_open__fifo__refused),
        TEST(test_snap_file_open__missing_directory__refused),
        TEST(test_snap_file_open__path_too_long__refused),
        TEST(test_snap_file_open__name_of_255_bytes__takes_it),
        TEST(test_snap_file_open__name_of_256_bytes__refused),
        TEST(test_snap_file_open__name_beside_is_taken__another_is_used),
        TEST(test_snap_file_open__directory_is_not_ours__written_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
