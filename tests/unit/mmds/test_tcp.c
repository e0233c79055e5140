/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of devices/mmds/mmds_tcp.c. Single thread. */
#include "base/be.h"
#include "tests/unit/mmds/mmds_fixture.h"

static const uint8_t our_ip[4] = {169, 254, 169, 254};

/* 192.168.1.2:4660 to port 80, "GET": 20 bytes of IPv4, 24 of TCP with an MSS of 1400. */
static const uint8_t packet[47] = {0x45, 0,    0,    47,   0,   0,   0x40, 0,   64,  6, 0,
                                   0,    192,  168,  1,    2,   169, 254,  169, 254, /* IPv4 */
                                   0x12, 0x34, 0,    80,   1,   2,   3,    4,   5,   6, 7,
                                   8,    0x60, 0x18, 0x10, 0,   0,   0,    0,   0, /* TCP */
                                   2,    4,    0x05, 0x78, 'G', 'E', 'T'};

static struct mmds_segment segment;

static enum mmds_packet parse(const uint8_t *bytes, size_t len, size_t packet_len)
{
    return mmds_segment_parse(bytes, len, packet_len, &segment);
}

static void test_mmds_segment_parse__segment__its_parts(void **state)
{
    (void)state;
    uint16_t mss = 0;
    assert_int_equal(parse(packet, sizeof(packet), sizeof(packet)), MMDS_PACKET_TCP);
    assert_int_equal(be32_load(segment.peer.ip), 0xc0a80102);
    assert_int_equal(segment.peer.port, 0x1234);
    assert_int_equal(segment.port, 80);
    assert_int_equal(segment.seq, 0x01020304);
    assert_int_equal(segment.ack, 0x05060708);
    assert_int_equal(segment.flags, MMDS_ACK | MMDS_PSH);
    assert_int_equal(segment.window, 0x1000);
    assert_int_equal(segment.payload_len, 3);
    assert_int_equal(segment.payload_here, 3);
    assert_memory_equal(segment.payload, "GET", 3);
    assert_int_equal(mmds_segment_mss(&segment, &mss), 0);
    assert_int_equal(mss, 1400);
}

static void test_mmds_segment_parse__padding_behind__not_payload(void **state)
{
    (void)state;
    uint8_t padded[60] = {0};
    memcpy(padded, packet, sizeof(packet));
    assert_int_equal(parse(padded, sizeof(padded), sizeof(padded)), MMDS_PACKET_TCP);
    assert_int_equal(segment.payload_len, 3);
}

static void test_mmds_segment_parse__longer_than_what_is_here__said(void **state)
{
    (void)state;
    uint8_t longer[sizeof(packet)];
    memcpy(longer, packet, sizeof(packet));
    be16_store(longer + 2, 5000);
    assert_int_equal(parse(longer, sizeof(longer), 5000), MMDS_PACKET_TCP);
    assert_int_equal(segment.payload_len, 5000 - 44);
    assert_int_equal(segment.payload_here, 3);
    assert_int_equal(parse(longer, sizeof(longer), 4999), MMDS_PACKET_BAD);
}

static void test_mmds_segment_parse__cut_anywhere__never_read_beyond(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(packet); len++) {
        uint8_t *cut = malloc(len ? len : 1); /* a sanitizer sees the end */
        assert_non_null(cut);
        memcpy(cut, packet, len);
        enum mmds_packet kind = parse(cut, len, sizeof(packet));
        assert_int_equal(kind, len < 44 ? MMDS_PACKET_BAD : MMDS_PACKET_TCP);
        assert_int_equal(parse(cut, len, len), MMDS_PACKET_BAD); /* shorter than it says */
        free(cut);
    }
}

static void test_mmds_segment_parse__impossible__bad(void **state)
{
    (void)state;
    static const struct {
        size_t off;
        uint8_t value;
        enum mmds_packet kind;
    } cases[] = {
        {0, 0x65, MMDS_PACKET_BAD},  /* IPv6 */
        {0, 0x44, MMDS_PACKET_BAD},  /* a header of 16 bytes */
        {0, 0x4f, MMDS_PACKET_BAD},  /* of 60, which are not there */
        {3, 19, MMDS_PACKET_BAD},    /* shorter than its header */
        {3, 48, MMDS_PACKET_BAD},    /* longer than the frame */
        {6, 0x20, MMDS_PACKET_BAD},  /* more fragments */
        {7, 0x01, MMDS_PACKET_BAD},  /* a fragment behind the first, which overlaps it */
        {9, 17, MMDS_PACKET_OTHER},  /* UDP */
        {32, 0x40, MMDS_PACKET_BAD}, /* TCP header of 16 bytes */
        {32, 0xf0, MMDS_PACKET_BAD}, /* of 60 */
        {6, 0xc0, MMDS_PACKET_TCP},  /* flags that are not a fragment's */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t bytes[sizeof(packet)];
        memcpy(bytes, packet, sizeof(bytes));
        bytes[cases[i].off] = cases[i].value;
        assert_int_equal(parse(bytes, sizeof(bytes), sizeof(bytes)), cases[i].kind);
    }
}

static void test_mmds_segment_mss__options__found_or_impossible(void **state)
{
    (void)state;
    static const struct {
        uint8_t options[12];
        size_t len;
        int result;
        uint16_t mss;
    } cases[] = {
        {{0}, 0, 0, 536},
        {{1, 1, 2, 4, 1, 0}, 6, 0, 256},
        {{8, 10, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 0, 536},
        {{0, 2, 4, 1, 0}, 5, 0, 536},        /* behind the end */
        {{2, 4, 0, 0}, 4, -EPROTO, 0},       /* no segment */
        {{2, 3, 1, 0}, 4, -EPROTO, 0},       /* too short */
        {{2, 4, 5}, 3, -EPROTO, 0},          /* cut */
        {{8}, 1, -EPROTO, 0},                /* without a length */
        {{8, 0, 2, 4, 5, 0}, 6, -EPROTO, 0}, /* a loop */
        {{8, 1, 2, 4, 5, 0}, 6, -EPROTO, 0}, /* half a loop */
        {{3, 200, 7, 1}, 4, -EPROTO, 0},     /* beyond the header */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint16_t mss = 0;
        segment = (struct mmds_segment){.options = cases[i].options, .options_len = cases[i].len};
        assert_int_equal(mmds_segment_mss(&segment, &mss), cases[i].result);
        if (cases[i].result == 0)
            assert_int_equal(mss, cases[i].mss);
    }
}

/* Ones' complement sum of words, as a receiver checks it: 0xffff when all is right. */
static uint32_t folded(uint32_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void test_mmds_segment_build__built__parses_and_sums_up(void **state)
{
    (void)state;
    static uint8_t payload[MMDS_PAYLOAD_MAX_SIZE];
    static uint8_t built[FRAME_FILTER_PULL_MAX_SIZE - MMDS_ETH_SIZE];
    memset(payload, 0xf7, sizeof(payload));
    for (size_t payload_len = 0; payload_len <= sizeof(payload); payload_len += 365) {
        const struct mmds_segment asked = {
            .peer = {{10, 0, 0, 2}, 50000},
            .port = 80,
            .seq = 0xfffffff0,
            .ack = 7,
            .flags = MMDS_ACK,
            .window = 2500,
            .mss = payload_len ? 0 : 1460,
            .payload = payload,
            .payload_len = payload_len,
        };
        size_t len = mmds_segment_build(&asked, our_ip, built);
        assert_int_equal(len, 40 + payload_len + (asked.mss ? 4 : 0));
        assert_int_equal(built[8], 1); /* TTL */
        assert_int_equal(folded(0, built, 20), 0xffff);
        assert_int_equal(
            folded(folded(6 + (uint32_t)len - 20, built + 12, 8), built + 20, len - 20), 0xffff);
        assert_memory_equal(built + 12, our_ip, 4);
        assert_memory_equal(built + 16, asked.peer.ip, 4);
        assert_int_equal(parse(built, len, len), MMDS_PACKET_TCP);
        assert_int_equal(segment.peer.port, 80);
        assert_int_equal(segment.port, 50000);
        assert_int_equal(segment.seq, asked.seq);
        assert_int_equal(segment.payload_len, payload_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mmds_segment_parse__segment__its_parts),
        cmocka_unit_test(test_mmds_segment_parse__padding_behind__not_payload),
        cmocka_unit_test(test_mmds_segment_parse__longer_than_what_is_here__said),
        cmocka_unit_test(test_mmds_segment_parse__cut_anywhere__never_read_beyond),
        cmocka_unit_test(test_mmds_segment_parse__impossible__bad),
        cmocka_unit_test(test_mmds_segment_mss__options__found_or_impossible),
        cmocka_unit_test(test_mmds_segment_build__built__parses_and_sums_up),
    };
    return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
