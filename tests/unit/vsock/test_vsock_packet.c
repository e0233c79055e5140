/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of headers and CONNECT lines: devices/vsock/vsock_packet.c. Single thread. */
#include <errno.h>
#include <string.h>

#include "devices/vsock/vsock_packet.h"
#include "tests/unit/unit.h"

static int parse(const char *text, uint32_t *ret_port)
{
    return vsock_line_parse((const uint8_t *)text, strlen(text), ret_port);
}

static void test_vsock_line_parse__good_lines__port_and_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t port;
        int len;
    } rows[] = {
        {"CONNECT 1\n", 1, 10},
        {"CONNECT 52\n", 52, 11},
        {"connect 52\n", 52, 11},
        {"CoNnEcT\t+52 \n", 52, 13},
        {"CONNECT 4294967295\n", UINT32_MAX, 19},
        {"CONNECT 52\nrest", 52, 11},
        {"CONNECT 52 and more\n", 52, 20},
        {"  CONNECT  52\n", 52, 14},
        {"CONNECT 52                      ", 52, 32},       /* 32 bytes are enough */
        {"CONNECT 52                      \nrest", 52, 32}, /* and no more is looked at */
        {"CONNECT\n00000000007\n", 7, 20}, /* a line feed in the first ten is a blank */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t port = 0;
        assert_int_equal(parse(rows[i].text, &port), rows[i].len);
        assert_int_equal(port, rows[i].port);
    }
}

static void test_vsock_line_parse__bad_lines__refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "\n",
        "CONNECT 1",  /* not there whole */
        "CONNECT 52", /* likewise */
        "CONNECT\n",  /* too short */
        "CONNECT   \n",
        "CONNECT x1\n",
        "CONNECT -1\n",
        "CONNECT +\n     ",
        "CONNECT 1x\n",
        "CONNECT 4294967296\n",
        "CONNECT 99999999999999999999999\n",
        "CONNECTS 1\n",
        "GET / HTTP\n",
        "\xc3\xa9ONNECT 52\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t port = 7;
        assert_int_equal(parse(rows[i], &port), -EINVAL);
        assert_int_equal(port, 7);
    }
}

static void test_vsock_packet__every_operation__survives_the_wire(void **state)
{
    (void)state;
    for (uint32_t op = 0; op < VSOCK_OP_UNSUPPORTED; op++) {
        const struct vsock_packet packet = {.src_cid = 0x1122334455667788,
                                            .dst_cid = 2,
                                            .src_port = 3,
                                            .dst_port = UINT32_MAX,
                                            .len = 5,
                                            .type = 1,
                                            .op = (enum vsock_op)op,
                                            .flags = 6,
                                            .buf_alloc = 7,
                                            .fwd_cnt = 8};
        struct vsock_wire_header wire;
        struct vsock_wire_header again;
        struct vsock_packet back;
        vsock_packet_encode(&packet, &wire);
        vsock_packet_decode(&wire, &back);
        assert_int_equal(back.op, op);
        vsock_packet_encode(&back, &again);
        assert_memory_equal(&again, &wire, sizeof(wire));
    }
}

static void test_vsock_packet_encode__header__as_virtio_lays_it_out(void **state)
{
    (void)state;
    static const uint8_t expected[VSOCK_HEADER_SIZE] = {
        2, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 9, 0,
        0, 0, 5, 0, 0, 0, 1, 0, 5,  0, 3, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0, 0};
    const struct vsock_packet packet = {.src_cid = 2,
                                        .dst_cid = 42,
                                        .src_port = 1025,
                                        .dst_port = 9,
                                        .len = 5,
                                        .type = 1,
                                        .op = VSOCK_OP_RW,
                                        .flags = 3,
                                        .buf_alloc = 65536,
                                        .fwd_cnt = 7};
    struct vsock_wire_header wire;
    vsock_packet_encode(&packet, &wire);
    assert_memory_equal(&wire, expected, sizeof(expected));
}

static void test_vsock_packet_decode__unknown_operation__unsupported(void **state)
{
    (void)state;
    static const uint16_t ops[] = {0, 8, 9, 256, UINT16_MAX};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        const struct vsock_wire_header wire = {.op = le16_put(ops[i])};
        struct vsock_packet packet;
        vsock_packet_decode(&wire, &packet);
        assert_int_equal(packet.op, VSOCK_OP_UNSUPPORTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vsock_line_parse__good_lines__port_and_length),
        cmocka_unit_test(test_vsock_line_parse__bad_lines__refused),
        cmocka_unit_test(test_vsock_packet__every_operation__survives_the_wire),
        cmocka_unit_test(test_vsock_packet_encode__header__as_virtio_lays_it_out),
        cmocka_unit_test(test_vsock_packet_decode__unknown_operation__unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
