/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the API's server: how many connections, which way they begin and end, and that
 * nothing is left behind. Rows of clients.md: 5, 6, 27, 31, 32, 35.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/api/server_fixture.h"

static const char refusal[] = "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\n"
                              "Content-Length: 40\r\n\r\n"
                              "{ \"error\": \"Too many open connections\" }";

static void connect_all(const struct world *world, int *fds)
{
    for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++) {
        fds[i] = client_connect(world);
        check_exchange(fds[i], GET_VERSION, STATUS_200, "1.16.1");
    }
}

static void close_all(int *fds)
{
    for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
        fd_close(&fds[i]);
}

static void test_api_server__eleventh_connection__told_and_closed(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fds[API_CONNECTIONS_MAX];
    char buf[sizeof(refusal) + 1] = {0};

    connect_all(world, fds);
    for (unsigned i = 0; i < 3; i++) {
        int fd = client_connect(world);
        if (i == 1) /* a peer that speaks first sees the same */
            client_try_send(fd, GET_VERSION);
        assert_int_equal(client_reply(fd, buf, sizeof(buf)), strlen(refusal));
        assert_string_equal(buf, refusal);
        check_closed(fd);
        fd_close(&fd);
    }
    for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
        check_exchange(fds[i], GET_INFO, STATUS_200, "Not started");
    close_all(fds);
    world_free(world);
}

static void test_api_server__closed_before_the_next_connect__not_one_too_many(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fds[API_CONNECTIONS_MAX];

    connect_all(world, fds);
    for (unsigned i = 0; i < 200; i++) {
        fd_close(&fds[i % API_CONNECTIONS_MAX]);
        fds[i % API_CONNECTIONS_MAX] = client_connect(world);
        check_exchange(fds[i % API_CONNECTIONS_MAX], GET_VERSION, STATUS_200, "1.16.1");
    }
    close_all(fds);
    world_free(world);
}

/* epoll tells of the listening socket first, since it was looked at last. */
static void test_api_server__closed_then_connected_while_busy__not_one_too_many(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fds[API_CONNECTIONS_MAX - 1];

    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = client_connect(world);
        check_exchange(fds[i], GET_VERSION, STATUS_200, "1.16.1");
    }
    world->gated = true;
    client_send(fds[0], PUT_BOOT);
    assert_int_equal(sem_wait(&world->entered), 0);
    int tenth = client_connect(world);
    client_send(fds[1], PUT_BOOT);
    assert_int_equal(sem_post(&world->go), 0);
    assert_int_equal(sem_wait(&world->entered), 0);
    fd_close(&fds[2]);
    int next = client_connect(world);
    world->gated = false;
    assert_int_equal(sem_post(&world->go), 0);
    check_exchange(tenth, GET_VERSION, STATUS_200, "1.16.1");
    check_exchange(next, GET_VERSION, STATUS_200, "1.16.1");
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        fd_close(&fds[i]);
    fd_close(&tenth);
    fd_close(&next);
    world_free(world);
}

#define BURST 1000u

static void test_api_server__burst_of_connects__ten_served_the_rest_told(void **state)
{
    (void)state;
    struct world *world = world_make();
    struct rlimit limit;
    int *fds = calloc(BURST, sizeof(*fds));
    unsigned refused = 0;
    char buf[256];

    assert_non_null(fds);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (unsigned i = 0; i < BURST; i++)
        fds[i] = client_connect(world);
    for (unsigned i = 0; i < BURST; i++)
        client_try_send(fds[i], GET_VERSION);
    for (unsigned i = 0; i < BURST; i++) {
        assert_true(client_reply(fds[i], buf, sizeof(buf)) > 0);
        refused += memcmp(buf, refusal, 12) == 0;
    }
    assert_int_equal(refused, BURST - API_CONNECTIONS_MAX);
    for (unsigned i = 0; i < BURST; i++)
        fd_close(&fds[i]);
    int fd = client_connect(world);
    check_exchange(fd, GET_VERSION, STATUS_200, "1.16.1");
    fd_close(&fd);
    free(fds);
    world_free(world);
}

static void test_api_server__half_close__closed(void **state)
{
    (void)state;
    struct world *world = world_make();

    /* More often than there are connections: each is given back. */
    for (unsigned i = 0; i < 3 * API_CONNECTIONS_MAX; i++) {
        int fd = client_connect(world);
        if (i % 2 == 0)
            check_exchange(fd, GET_VERSION, STATUS_200, "1.16.1");
        else
            client_send(fd, "GET / HT");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        check_closed(fd);
        fd_close(&fd);
    }
    world_free(world);
}

static void test_api_server__half_close_while_a_reply_waits__rest_discarded(void **state)
{
    (void)state;
    struct world *world = world_make();
    size_t size = 2u << 20;
    char *buf = malloc(size);
    int fd = client_connect(world);

    assert_non_null(buf);
    world_fill(world);
    client_send(fd, GET_VM);
    assert_true(client_has_news(fd, 5000));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    (void)usleep(20000);
    assert_int_equal(client_reply(fd, buf, size), 0);
    fd_close(&fd);
    free(buf);
    world_free(world);
}

static void test_api_server__peer_gone_while_its_action_is_carried_out__others_served(void **state)
{
    (void)state;
    struct world *world = world_make();

    world->gated = true;
    for (unsigned i = 0; i < 2 * API_CONNECTIONS_MAX; i++) {
        int fd = client_connect(world);
        client_send(fd, PUT_BOOT PUT_BOOT);
        assert_int_equal(sem_wait(&world->entered), 0);
        fd_close(&fd);
        assert_int_equal(sem_post(&world->go), 0);
    }
    world->gated = false;
    int fd = client_connect(world);
    check_exchange(fd, PUT_BOOT, STATUS_204, "Server");
    /* The second request of those that went is not carried out. */
    assert_int_equal(world->served, 2 * API_CONNECTIONS_MAX + 1);
    fd_close(&fd);
    world_free(world);
}

static void test_api_server__descriptors_sent_along__closed(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);
    int ends[2];
    char request[] = GET_VERSION;
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = request, .iov_len = strlen(request)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    char byte;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *cmsg = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(cmsg), &ends[1], sizeof(int));
    assert_int_equal(sendmsg(fd, &msg, 0), (ssize_t)strlen(request));
    fd_close(&ends[1]);
    check_reply(fd, STATUS_200, "1.16.1");
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody has the other end */
    fd_close(&ends[0]);
    fd_close(&fd);
    world_free(world);
}

static void test_api_server__no_descriptors_left__goes_on_when_there_are(void **state)
{
    (void)state;
    struct world *world = world_make();
    struct rlimit limit;
    int first = client_connect(world);

    check_exchange(first, GET_VERSION, STATUS_200, "1.16.1");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = client_connect(world);
    check_exchange(fd, GET_VERSION, STATUS_200, "1.16.1");
    int late = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, world->path, strlen(world->path));
    struct rlimit low = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(connect(late, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    client_send(late, GET_VERSION);
    assert_false(client_has_news(late, 30));
    check_exchange(first, GET_VERSION, STATUS_200, "1.16.1");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_reply(late, STATUS_200, "1.16.1");
    fd_close(&late);
    fd_close(&first);
    fd_close(&fd);
    world_free(world);
}

static void *configure(void *arg)
{
    const struct world *world = arg;
    int fd = client_connect(world);

    for (unsigned i = 0; i < 100; i++)
        check_exchange(fd, PUT_BOOT, STATUS_204, "Server");
    fd_close(&fd);
    return NULL;
}

static void test_api_server__calls_on_all_connections_at_once__all_succeed(void **state)
{
    (void)state;
    struct world *world = world_make();
    pthread_t threads[API_CONNECTIONS_MAX];

    for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, configure, world), 0);
    for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(world->served, 100 * API_CONNECTIONS_MAX);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_server__eleventh_connection__told_and_closed),
        cmocka_unit_test(test_api_server__closed_before_the_next_connect__not_one_too_many),
        cmocka_unit_test(test_api_server__closed_then_connected_while_busy__not_one_too_many),
        cmocka_unit_test(test_api_server__burst_of_connects__ten_served_the_rest_told),
        cmocka_unit_test(test_api_server__half_close__closed),
        cmocka_unit_test(test_api_server__half_close_while_a_reply_waits__rest_discarded),
        cmocka_unit_test(test_api_server__peer_gone_while_its_action_is_carried_out__others_served),
        cmocka_unit_test(test_api_server__descriptors_sent_along__closed),
        cmocka_unit_test(test_api_server__no_descriptors_left__goes_on_when_there_are),
        cmocka_unit_test(test_api_server__calls_on_all_connections_at_once__all_succeed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
