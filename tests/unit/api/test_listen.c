/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of api/listen.c: the path and its refusals, and the inherited socket, for which a
 * child process is made. Rows of clients.md: 5, 6, 27.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api/server_int.h"
#include "tests/unit/api/server_fixture.h"

static int listen_at(const char *path, struct err *err)
{
    return api_listen_open(&(struct api_server_options){.socket_path = path}, err);
}

static void check_fails(const char *path, int code, const char *sentence)
{
    struct err err = ERR_INIT;

    assert_int_equal(listen_at(path, &err), code);
    assert_int_equal(err.code, code);
    assert_string_equal(err.msg, sentence);
}

static void test_api_listen_open__path__bound_with_the_umask(void **state)
{
    (void)state;
    struct world *world = world_make_without_server();
    struct err err = ERR_INIT;
    struct stat st;
    mode_t old = umask(027);
    int fd = listen_at(world->path, &err);

    (void)umask(old);
    assert_true(fd >= 0);
    assert_int_equal(stat(world->path, &st), 0);
    assert_int_equal(st.st_mode, S_IFSOCK | 0750);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    fd_close(&fd);
    world_free(world);
}

static void test_api_listen_open__something_is_there__refused_and_kept(void **state)
{
    (void)state;
    struct world *world = world_make_without_server();
    struct err err = ERR_INIT;
    char sentence[256];
    int fd = listen_at(world->path, &err);

    (void)snprintf(sentence, sizeof(sentence),
                   "Failed to open the API socket at: %s. Check that it is not already used.",
                   world->path);
    assert_true(fd >= 0);
    check_fails(world->path, -EADDRINUSE, sentence);
    fd_close(&fd); /* stale now */
    check_fails(world->path, -EADDRINUSE, sentence);
    assert_int_equal(unlink(world->path), 0);
    fd = open(world->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    fd_close(&fd);
    check_fails(world->path, -EADDRINUSE, sentence);
    assert_int_equal(access(world->path, F_OK), 0);
    world_free(world);
}

static void test_api_listen_open__bad_path__sentence(void **state)
{
    (void)state;
    struct world *world = world_make_without_server();
    struct err err = ERR_INIT;
    char path[200];
    char sentence[400];

    check_fails("", -EINVAL,
                "Failed to bind and run the HTTP server: the path of the socket is empty");
    (void)snprintf(path, sizeof(path), "%s/no/s", world->dir);
    (void)snprintf(
        sentence, sizeof(sentence),
        "Failed to bind and run the HTTP server: %s: No such file or directory (os error 2)", path);
    check_fails(path, -ENOENT, sentence);

    /* 107 bytes are the most; the longest path works. */
    memset(path, 's', sizeof(path));
    memcpy(path, world->dir, strlen(world->dir));
    path[strlen(world->dir)] = '/';
    path[108] = '\0';
    (void)snprintf(sentence, sizeof(sentence),
                   "Failed to bind and run the HTTP server: the path of a socket has at most 107 "
                   "bytes, this one 108: %s",
                   path);
    check_fails(path, -ENAMETOOLONG, sentence);
    path[107] = '\0';
    int fd = listen_at(path, &err);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    fd_close(&fd);
    world_free(world);
}

/* In a child: fd 3 is `fd`, and the environment says so to process `pid` (0: the child). */
static void inherit(int fd, const char *count, int pid)
{
    char text[16];

    if (dup2(fd, 3) < 0 || fcntl(3, F_SETFD, 0) < 0)
        _exit(100);
    (void)snprintf(text, sizeof(text), "%d", pid ? pid : getpid());
    if (setenv("LISTEN_FDS", count, 1) < 0 || setenv("LISTEN_PID", text, 1) < 0)
        _exit(101);
}

/* Waits for the child and returns its exit status. */
static int child_status(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A child without threads that was handed fd 3: its api_listen_open came to 3 (0), to another fd
 * (1), or failed (2). */
static int listen_in_child(const char *path, int fd, const char *count, int env_pid)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return child_status(pid);
    struct err err = ERR_INIT;
    inherit(fd, count, env_pid);
    int got = listen_at(path, &err);
    if (got < 0)
        _exit(strstr(err.msg, "the inherited fd 3 is not a listening Unix stream socket") ? 2 : 3);
    if (fcntl(got, F_GETFD) != FD_CLOEXEC || !(fcntl(got, F_GETFL) & O_NONBLOCK))
        _exit(4);
    _exit(got == 3 ? 0 : 1);
}

/* The socket is the second of two descriptors, behind a device: is it found? */
static int listen_behind_device_in_child(const char *path, int fd)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return child_status(pid);
    struct err err = ERR_INIT;
    FD_AUTO int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(fd, 10) < 0)
        _exit(102);
    inherit(null_fd, "2", 0);
    if (dup2(10, 4) < 0)
        _exit(103);
    _exit(listen_at(path, &err) == 4 ? 0 : 1);
}

static void test_api_listen_open__inherited__taken_when_it_is_meant_for_us(void **state)
{
    (void)state;
    char dir[] = "/tmp/mayfly-listen-XXXXXX";
    char path[64];
    char unused[64];
    struct err err = ERR_INIT;
    int plain[2];

    log_set(&(struct log_settings){.level = LOG_LEVEL_OFF});
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    (void)snprintf(unused, sizeof(unused), "%s/u", dir);
    int fd = listen_at(path, &err);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* as others hand it over */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain), 0);

    assert_int_equal(listen_in_child(unused, fd, "1", 0), 0);
    assert_int_equal(listen_in_child(unused, fd, "2", 0), 0);
    assert_int_equal(listen_behind_device_in_child(unused, fd), 0);
    assert_int_equal(access(unused, F_OK), -1);
    assert_int_equal(listen_in_child(unused, plain[0], "1", 0), 2);
    /* Meant for another process, or nothing at all: the path is bound. */
    assert_int_equal(listen_in_child(unused, fd, "1", 1), 1);
    assert_int_equal(unlink(unused), 0);
    assert_int_equal(listen_in_child(unused, fd, "0", 0), 1);
    assert_int_equal(unlink(unused), 0);
    assert_int_equal(listen_in_child(unused, fd, "1x", 0), 1);
    assert_int_equal(unlink(unused), 0);

    fd_close(&plain[0]);
    fd_close(&plain[1]);
    fd_close(&fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_api_server_open__inherited__serves_what_connected_before(void **state)
{
    (void)state;
    struct world client = {.dir = "/tmp/mayfly-listen-XXXXXX"};
    struct err err = ERR_INIT;

    log_set(&(struct log_settings){.level = LOG_LEVEL_OFF});
    assert_non_null(mkdtemp(client.dir));
    (void)snprintf(client.path, sizeof(client.path), "%s/s", client.dir);
    int listener = listen_at(client.path, &err);
    assert_true(listener >= 0);
    int fd = client_connect(&client);
    client_send(fd, GET_VERSION);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct api_server_options options = world_options(&client);
        struct api_server *server = NULL;
        options.socket_path = "";
        inherit(listener, "1", 0);
        if (api_server_open(&options, &server, &err) < 0 ||
            api_server_start(server, NULL, &err) < 0)
            _exit(1);
        (void)usleep(200000);
        api_server_free(server);
        _exit(0);
    }
    check_reply(fd, STATUS_200, "firecracker_version");
    assert_int_equal(child_status(pid), 0);
    fd_close(&fd);
    fd_close(&listener);
    assert_int_equal(unlink(client.path), 0);
    assert_int_equal(rmdir(client.dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_listen_open__path__bound_with_the_umask),
        cmocka_unit_test(test_api_listen_open__something_is_there__refused_and_kept),
        cmocka_unit_test(test_api_listen_open__bad_path__sentence),
        cmocka_unit_test(test_api_listen_open__inherited__taken_when_it_is_meant_for_us),
        cmocka_unit_test(test_api_server_open__inherited__serves_what_connected_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
