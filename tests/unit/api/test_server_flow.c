/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the API's server: what travels over its connections, in which order, and who waits
 * for whom. Rows of clients.md: 28, 29, 30, 31.
 */
#include <fcntl.h>

#include "tests/unit/api/server_fixture.h"

static void test_api_conn__success_without_body__exact_bytes_in_one_piece(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);
    static const char reply[] =
        "HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
    char buf[4096];

    for (unsigned i = 0; i < 3; i++) {
        client_send(fd, PUT_BOOT);
        assert_int_equal(client_read(fd, buf, sizeof(buf)), strlen(reply));
        assert_memory_equal(buf, reply, strlen(reply));
    }
    client_send(fd, GET_INFO);
    size_t len = client_read(fd, buf, sizeof(buf) - 1);
    buf[len] = '\0';
    assert_memory_equal(buf, STATUS_200, strlen(STATUS_200));
    assert_non_null(strstr(buf, "\r\n\r\n{\"id\":\"anonymous-instance\",\"state\":\"Not started\","
                                "\"vmm_version\":\"1.16.1\",\"app_name\":\"Firecracker\"}"));
    fd_close(&fd);
    world_free(world);
}

static void test_api_conn__pipelined__answered_in_order(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);

    client_send(fd, GET_VERSION PUT_BOOT GET_INFO PUT_BOOT
                "GET /nothing HTTP/1.1\r\n\r\n" GET_MACHINE GET_VERSION "GET /ver");
    check_reply(fd, STATUS_200, "firecracker_version");
    check_reply(fd, STATUS_204, "Server");
    check_reply(fd, STATUS_200, "app_name");
    check_reply(fd, STATUS_204, "Server");
    check_reply(fd, STATUS_400, "fault_message");
    check_reply(fd, STATUS_200, "vcpu_count");
    check_reply(fd, STATUS_200, "firecracker_version");
    assert_false(client_has_news(fd, 20));
    check_exchange(fd, "sion HTTP/1.0\r\nConnection: close\r\n\r\n", STATUS_200,
                   "firecracker_version");
    assert_false(client_has_news(fd, 20)); /* kept, whatever the client says */
    fd_close(&fd);
    world_free(world);
}

#define MANY 3000u

static void test_api_conn__thousands_pipelined__each_answered(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);
    size_t one_len = strlen(GET_VERSION);
    char *requests = malloc(one_len * MANY);
    size_t sent = 0;
    unsigned answered = 0;

    assert_non_null(requests);
    for (unsigned i = 0; i < MANY; i++)
        memcpy(requests + i * one_len, GET_VERSION, one_len);
    while (answered < MANY) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        pollfd.events |= sent < one_len * MANY ? POLLOUT : 0;
        assert_true(poll(&pollfd, 1, 5000) > 0);
        if (pollfd.revents & POLLOUT) {
            ssize_t n = send(fd, requests + sent, one_len * MANY - sent, MSG_DONTWAIT);
            assert_true(n > 0 || errno == EAGAIN);
            sent += n > 0 ? (size_t)n : 0;
        }
        if (pollfd.revents & POLLIN) {
            check_reply(fd, STATUS_200, "firecracker_version");
            answered++;
        }
    }
    assert_false(client_has_news(fd, 20));
    free(requests);
    fd_close(&fd);
    world_free(world);
}

static void test_api_conn__one_byte_at_a_time__answered(void **state)
{
    (void)state;
    struct world *world = world_make();
    int slow = client_connect(world);
    int other = client_connect(world);
    static const char requests[] = PUT_BOOT GET_VERSION;

    for (size_t i = 0; i < strlen(requests); i++) {
        char byte[2] = {requests[i], '\0'};
        client_send(slow, byte);
        if (i % 10 == 0) /* also makes sure that the byte was read alone */
            check_exchange(other, GET_INFO, STATUS_200, "app_name");
        else
            (void)usleep(50);
    }
    check_reply(slow, STATUS_204, "Server");
    check_reply(slow, STATUS_200, "firecracker_version");
    fd_close(&slow);
    fd_close(&other);
    world_free(world);
}

static void test_api_conn__half_a_request__others_served(void **state)
{
    (void)state;
    struct world *world = world_make();
    int stuck[API_CONNECTIONS_MAX - 1];
    int other = client_connect(world);

    for (unsigned i = 0; i < ARRAY_LEN(stuck); i++) {
        stuck[i] = client_connect(world);
        client_send(stuck[i], "PUT /boot-source HTTP/1.1\r\nContent-Length: 25\r\n\r\n{\"ker");
    }
    for (unsigned i = 0; i < 200; i++)
        check_exchange(other, GET_VERSION, STATUS_200, "firecracker_version");
    assert_int_equal(world->served, 0);
    for (unsigned i = 0; i < ARRAY_LEN(stuck); i++) {
        check_exchange(stuck[i], "nel_image_path\":\"k\"}", STATUS_204, "Server");
        fd_close(&stuck[i]);
    }
    fd_close(&other);
    world_free(world);
}

static void test_api_conn__large_reply__written_as_the_peer_reads(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);

    world_fill(world);
    client_send(fd, GET_VM GET_VM GET_VERSION);
    size_t len = drain_big_reply(fd);
    assert_true(len > BIG_DRIVES * BIG_PATH_LEN);
    assert_int_equal(drain_big_reply(fd), len);
    check_reply(fd, STATUS_200, "firecracker_version");
    fd_close(&fd);
    world_free(world);
}

static void test_api_conn__peer_that_does_not_read__delays_nobody_and_is_not_read(void **state)
{
    (void)state;
    struct world *world = world_make();
    int stuck = client_connect(world);
    int other = client_connect(world);

    world_fill(world);
    client_send(stuck, GET_VM GET_VM GET_VM PUT_BOOT);
    assert_true(client_has_news(stuck, 5000));
    for (unsigned i = 0; i < 200; i++) {
        check_exchange(other, GET_VERSION, STATUS_200, "firecracker_version");
        check_exchange(other, PUT_BOOT, STATUS_204, "Server");
    }
    /* Of the stuck one's requests only the first was carried out. */
    assert_int_equal(world->served, 200 + 1);
    size_t len = drain_big_reply(stuck);
    assert_int_equal(drain_big_reply(stuck), len);
    assert_int_equal(drain_big_reply(stuck), len);
    check_reply(stuck, STATUS_204, "Server");
    fd_close(&stuck);
    fd_close(&other);
    world_free(world);
}

static void test_api_conn__greedy_peer__others_have_every_second_turn(void **state)
{
    (void)state;
    struct world *world = world_make();
    int greedy = client_connect(world);
    int other = client_connect(world);

    /* The greedy one's first request is being carried out when the other's comes. */
    world->gated = true;
    client_send(greedy, PUT_BOOT PUT_BOOT PUT_BOOT PUT_BOOT PUT_BOOT PUT_BOOT);
    assert_int_equal(sem_wait(&world->entered), 0);
    client_send(other, PUT_BOOT);
    assert_int_equal(sem_post(&world->go), 0);
    unsigned waited = 0;
    do {
        assert_int_equal(sem_wait(&world->entered), 0);
        assert_int_equal(sem_post(&world->go), 0);
        waited++;
    } while (!client_has_news(other, 50) && waited < 6);
    assert_true(waited <= 2);
    world->gated = false;
    for (unsigned i = 0; i < 8; i++) /* whoever waits still */
        assert_int_equal(sem_post(&world->go), 0);
    check_reply(other, STATUS_204, "Server");
    for (unsigned i = 0; i < 6; i++)
        check_reply(greedy, STATUS_204, "Server");
    fd_close(&greedy);
    fd_close(&other);
    world_free(world);
}

static void test_api_conn__protocol_error__told_and_kept(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);

    for (unsigned i = 0; i < 3; i++) {
        /* What is in the same read behind the breach goes with it. */
        check_exchange(fd, PUT_BOOT "nonsense\r\n\r\n" GET_VERSION, STATUS_204, "Server");
        check_reply(fd, STATUS_400, "{ \"error\": \"Invalid ");
        assert_false(client_has_news(fd, 20));
        check_exchange(fd, GET_VERSION, STATUS_200, "firecracker_version");
    }
    fd_close(&fd);
    world_free(world);
}

static void test_api_conn__expects_continue__told_before_the_body(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);

    check_exchange(
        fd, "PUT /boot-source HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 25\r\n\r\n",
        "HTTP/1.0 100 \r\n", "keep-alive");
    assert_false(client_has_news(fd, 20));
    check_exchange(fd, "{\"kernel_image_path\":\"k\"}", STATUS_204, "Server");
    fd_close(&fd);
    world_free(world);
}

static void test_api_conn__body_of_the_limit__read_whole(void **state)
{
    (void)state;
    struct world *world = world_make();
    int fd = client_connect(world);
    char *body = malloc(HTTP_BODY_DEFAULT_MAX_SIZE + 2);
    char head[128];

    assert_non_null(body);
    memset(body, ' ', HTTP_BODY_DEFAULT_MAX_SIZE);
    memcpy(body, "{\"kernel_image_path\":\"k\"}", 25);
    body[HTTP_BODY_DEFAULT_MAX_SIZE] = '\0';
    (void)snprintf(head, sizeof(head), "PUT /boot-source HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
                   HTTP_BODY_DEFAULT_MAX_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        client_send(fd, head);
        client_send(fd, body);
        check_reply(fd, STATUS_204, "Server");
    }
    (void)snprintf(head, sizeof(head), "PUT /boot-source HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
                   HTTP_BODY_DEFAULT_MAX_SIZE + 1);
    check_exchange(fd, head, STATUS_400, "error");
    free(body);
    fd_close(&fd);
    world_free(world);
}

static void test_api_server__peer_gone_before_its_accept__nothing_carried_out(void **state)
{
    (void)state;
    struct world *world = world_make_without_server();
    struct api_server_options options = world_options(world);
    struct err err = ERR_INIT;
    char byte;

    assert_int_equal(api_server_open(&options, &world->server, &err), 0);
    int gone = client_connect(world);
    client_send(gone, PUT_BOOT);
    assert_int_equal(shutdown(gone, SHUT_WR), 0);
    int fd = client_connect(world);
    client_send(fd, GET_VERSION);
    assert_int_equal(api_server_start(world->server, world->mailbox, &err), 0);
    check_reply(fd, STATUS_200, "firecracker_version"); /* accepted behind the other */
    assert_int_equal(world->served, 0);
    assert_true(recv(gone, &byte, 1, 0) <= 0); /* no reply */
    fd_close(&gone);
    fd_close(&fd);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_conn__success_without_body__exact_bytes_in_one_piece),
        cmocka_unit_test(test_api_conn__pipelined__answered_in_order),
        cmocka_unit_test(test_api_conn__thousands_pipelined__each_answered),
        cmocka_unit_test(test_api_conn__one_byte_at_a_time__answered),
        cmocka_unit_test(test_api_conn__half_a_request__others_served),
        cmocka_unit_test(test_api_conn__large_reply__written_as_the_peer_reads),
        cmocka_unit_test(test_api_conn__peer_that_does_not_read__delays_nobody_and_is_not_read),
        cmocka_unit_test(test_api_conn__greedy_peer__others_have_every_second_turn),
        cmocka_unit_test(test_api_conn__protocol_error__told_and_kept),
        cmocka_unit_test(test_api_conn__expects_continue__told_before_the_body),
        cmocka_unit_test(test_api_conn__body_of_the_limit__read_whole),
        cmocka_unit_test(test_api_server__peer_gone_before_its_accept__nothing_carried_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
