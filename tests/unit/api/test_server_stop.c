/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the API's server: how it ends, while requests and replies are under way.
 */
#include "tests/unit/api/server_fixture.h"

struct reader {
    int fd;
    size_t len;
};

static void *read_big_reply(void *arg)
{
    struct reader *reader = arg;

    (void)usleep(20000); /* the server is stopped by then */
    reader->len = drain_big_reply(reader->fd);
    return NULL;
}

/* The request behind it was served before the end came, or was not. */
static void check_whole_or_nothing(int fd)
{
    char rest[1024];
    size_t len = 0;
    size_t here;

    while ((here = client_read(fd, rest + len, sizeof(rest) - 1 - len)) > 0)
        len += here;
    rest[len] = '\0';
    if (len > 0) {
        assert_memory_equal(rest, STATUS_200, strlen(STATUS_200));
        assert_non_null(strstr(rest, "firecracker_version"));
        assert_int_equal(rest[len - 1], '}');
    }
}

static void test_api_server_free__reply_under_way__written_whole(void **state)
{
    (void)state;
    struct world *world = world_make();
    struct reader reader = {.fd = client_connect(world)};
    pthread_t thread;

    world_fill(world);
    world->gated = true;
    client_send(reader.fd, GET_VM GET_VERSION);
    assert_int_equal(sem_wait(&world->entered), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_big_reply, &reader), 0);
    assert_int_equal(sem_post(&world->go), 0);
    world_stop_vmm(world);
    api_server_free(world->server);
    world->server = NULL;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(reader.len > BIG_DRIVES * BIG_PATH_LEN);
    check_whole_or_nothing(reader.fd);
    fd_close(&reader.fd);
    world_free(world);
}

static void test_api_server_free__peer_that_does_not_read__ends_in_time(void **state)
{
    (void)state;
    struct world *world = world_make();
    int stuck[3];

    world_fill(world);
    for (unsigned i = 0; i < ARRAY_LEN(stuck); i++) {
        stuck[i] = client_connect(world);
        client_send(stuck[i], GET_VM);
        assert_true(client_has_news(stuck[i], 5000));
    }
    uint64_t start_ns = clock_mono_ns();
    world_stop_vmm(world);
    api_server_free(world->server);
    world->server = NULL;
    uint64_t took_ms = (clock_mono_ns() - start_ns) / NS_PER_MS;
    assert_true(took_ms >= 900 && took_ms < 2500);
    for (unsigned i = 0; i < ARRAY_LEN(stuck); i++)
        fd_close(&stuck[i]);
    world_free(world);
}

static void test_api_server_free__idle_and_half_read_connections__end_of_file(void **state)
{
    (void)state;
    struct world *world = world_make();
    int idle = client_connect(world);
    int half = client_connect(world);

    check_exchange(idle, GET_VERSION, STATUS_200, "firecracker_version");
    check_exchange(half, GET_VERSION "PUT /boot-source HT", STATUS_200, "firecracker_version");
    api_server_free(world->server);
    world->server = NULL;
    check_closed(idle);
    check_closed(half);
    fd_close(&idle);
    fd_close(&half);
    assert_int_equal(access(world->path, F_OK), 0); /* the file stays */
    world_free(world);
}

static void test_api_server__mailbox_closed__connection_closed_without_reply(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);

    world_stop_vmm(world);
    check_exchange(fd, GET_INFO, STATUS_200, "Not started");
    client_send(fd, PUT_BOOT);
    check_closed(fd);
    assert_int_equal(world->served, 0);
    fd_close(&fd);
    world_free(world);
}

static void test_api_server__request_in_the_mailbox_at_the_end__canceled(void **state)
{
    (void)state;

    for (unsigned i = 0; i < 100; i++) {
        struct world *world = world_make();
        int fds[4];
        for (unsigned j = 0; j < ARRAY_LEN(fds); j++) {
            fds[j] = client_connect(world);
            client_send(fds[j], PUT_BOOT PUT_BOOT);
        }
        (void)usleep(i * 10);
        world_stop_vmm(world);
        api_server_free(world->server);
        world->server = NULL;
        /* Whole replies, then the end; as many as were carried out. */
        unsigned answered = 0;
        char buf[256];
        for (unsigned j = 0; j < ARRAY_LEN(fds); j++) {
            while (client_reply(fds[j], buf, sizeof(buf)) > 0)
                answered++;
            fd_close(&fds[j]);
        }
        assert_int_equal(answered, world->served);
        world_free(world);
    }
}

static void test_api_server_free__never_started_or_null__fine(void **state)
{
    (void)state;
    struct world *world = world_make_without_server();
    struct api_server_options options = world_options(world);
    struct err err = ERR_INIT;

    assert_int_equal(api_server_open(&options, &world->server, &err), 0);
    /* The kernel takes connections before the thread is there. */
    int fd = client_connect(world);
    client_send(fd, GET_VERSION);
    assert_int_equal(api_server_start(world->server, world->mailbox, &err), 0);
    check_reply(fd, STATUS_200, "firecracker_version");
    fd_close(&fd);
    api_server_free(world->server);
    assert_int_equal(unlink(world->path), 0);
    assert_int_equal(api_server_open(&options, &world->server, &err), 0);
    api_server_free(world->server);
    world->server = NULL;
    api_server_free(NULL);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_server_free__reply_under_way__written_whole),
        cmocka_unit_test(test_api_server_free__peer_that_does_not_read__ends_in_time),
        cmocka_unit_test(test_api_server_free__idle_and_half_read_connections__end_of_file),
        cmocka_unit_test(test_api_server__mailbox_closed__connection_closed_without_reply),
        cmocka_unit_test(test_api_server__request_in_the_mailbox_at_the_end__canceled),
        cmocka_unit_test(test_api_server_free__never_started_or_null__fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
