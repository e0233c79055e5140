/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of an interface's part of the service, from frame to frame: mmds_nic.c,
 * mmds_endpoint.c, mmds_conn.c. Single thread.
 */
#include "base/be.h"
#include "base/metrics.h"
#include "tests/unit/mmds/mmds_fixture.h"

#define WINDOW 60000u
#define GET_ROOT "GET / HTTP/1.1\r\n\r\n"

static const uint8_t our_ip[4] = {169, 254, 169, 254};
static const uint8_t our_mac[6] = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};
static const uint8_t guest_ip[4] = {192, 168, 0, 2};
static const uint8_t guest_mac[6] = {0x06, 0, 0, 0, 0, 2};

static struct mmds_nic *nic;
static struct frame_filter *filter;

/* The guest's side of a connection. */
static struct {
    uint16_t port;
    uint32_t seq;
    uint32_t ack;
    uint16_t window;
} guest;

/* The frame that was pulled last, taken apart. */
static struct {
    uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    size_t len;
    uint8_t flags;
    uint32_t seq;
    uint32_t ack;
    uint16_t window;
    uint16_t mss; /* 0: not said */
    const uint8_t *payload;
    size_t payload_len;
} got;

static int nic_setup(void **state)
{
    int rc = setup(state);
    if (rc == 0)
        rc = mmds_nic_create(world.mmds, our_ip, &nic);
    if (rc == 0)
        filter = mmds_nic_filter(nic);
    put("{\"a\":\"v\"}");
    memset(&guest, 0, sizeof(guest));
    guest.port = 1000;
    guest.window = WINDOW;
    return rc;
}

static int nic_teardown(void **state)
{
    mmds_nic_free(nic);
    return teardown(state);
}

/* ------------------------------------------------------------------ frames */

static bool offer(const uint8_t *frame, size_t len)
{
    if (!filter->ops->wants(filter, frame, len < 128 ? len : 128))
        return false;
    filter->ops->take(filter, frame,
                      len < FRAME_FILTER_TAKE_MAX_SIZE ? len : FRAME_FILTER_TAKE_MAX_SIZE, len);
    return true;
}

static size_t ethernet(uint8_t *frame, uint16_t type)
{
    memset(frame, 0xee, 6); /* the destination is not looked at */
    memcpy(frame + 6, guest_mac, 6);
    be16_store(frame + 12, type);
    return 14;
}

/* A segment of the guest's, with options. */
static void send_full(uint8_t flags, const void *options, size_t options_len, const void *payload,
                      size_t payload_len)
{
    static uint8_t frame[70000];
    uint8_t *ip = frame + ethernet(frame, 0x0800);
    uint8_t *tcp = ip + 20;
    size_t tcp_size = 20 + options_len;
    memset(ip, 0, 40);
    ip[0] = 0x45;
    be16_store(ip + 2, (uint16_t)(20 + tcp_size + payload_len));
    ip[9] = 6;
    memcpy(ip + 12, guest_ip, 4);
    memcpy(ip + 16, our_ip, 4);
    be16_store(tcp, guest.port);
    be16_store(tcp + 2, 80);
    be32_store(tcp + 4, guest.seq);
    be32_store(tcp + 8, guest.ack);
    tcp[12] = (uint8_t)(tcp_size / 4 << 4);
    tcp[13] = flags;
    be16_store(tcp + 14, guest.window);
    if (options_len > 0)
        memcpy(tcp + 20, options, options_len);
    if (payload_len > 0)
        memcpy(tcp + tcp_size, payload, payload_len);
    assert_true(offer(frame, 14 + 20 + tcp_size + payload_len));
}

static void send_flags(uint8_t flags)
{
    send_full(flags, NULL, 0, NULL, 0);
}

/* Text that comes next. */
static void send_text(const char *text)
{
    send_full(MMDS_ACK | MMDS_PSH, NULL, 0, text, strlen(text));
    guest.seq += (uint32_t)strlen(text);
}

/* Pulls; false: nothing there. */
static bool pull(void)
{
    memset(&got, 0, sizeof(got));
    got.len = filter->ops->pull(filter, got.frame);
    if (got.len == 0)
        return false;
    assert_in_range(got.len, 14 + 20 + 20, sizeof(got.frame));
    const uint8_t *tcp = got.frame + 34;
    size_t tcp_size = (size_t)(tcp[12] >> 4) * 4;
    assert_memory_equal(got.frame, guest_mac, 6);
    assert_memory_equal(got.frame + 6, our_mac, 6);
    assert_int_equal(be16_load(got.frame + 12), 0x0800);
    assert_memory_equal(got.frame + 26, our_ip, 4);
    assert_memory_equal(got.frame + 30, guest_ip, 4);
    assert_int_equal(be16_load(tcp), 80);
    got.seq = be32_load(tcp + 4);
    got.ack = be32_load(tcp + 8);
    got.flags = tcp[13];
    got.window = be16_load(tcp + 14);
    got.mss = tcp_size == 24 ? be16_load(tcp + 22) : 0;
    got.payload = tcp + tcp_size;
    got.payload_len = got.len - 34 - tcp_size;
    return true;
}

static void expect_flags(uint8_t flags)
{
    assert_true(pull());
    assert_int_equal(got.flags, flags);
}

static void expect_silence(void)
{
    assert_false(pull());
}

/* A handshake; the guest says this MSS, 0: none. */
static void connect_with(uint16_t mss)
{
    uint8_t options[4] = {2, 4, (uint8_t)(mss >> 8), (uint8_t)mss};
    guest.seq = 0xfffffffa; /* goes round soon */
    guest.ack = 0;
    send_full(MMDS_SYN, options, mss ? 4 : 0, NULL, 0);
    expect_flags(MMDS_SYN | MMDS_ACK);
    assert_int_equal(got.ack, guest.seq + 1);
    guest.seq++;
    guest.ack = got.seq + 1;
    send_flags(MMDS_ACK);
    expect_silence();
}

/* Takes a response of `segments` segments without acknowledging. */
static size_t receive(char *text, size_t size)
{
    size_t used = 0;
    while (pull()) {
        if (got.payload_len == 0)
            continue;
        assert_int_equal(got.seq, guest.ack);
        assert_in_range(got.payload_len, 1, size - 1 - used);
        memcpy(text + used, got.payload, got.payload_len);
        used += got.payload_len;
        guest.ack += (uint32_t)got.payload_len;
    }
    text[used] = '\0';
    return used;
}

static void expect_response(const char *body)
{
    char text[4096];
    receive(text, sizeof(text));
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
}

/* ------------------------------------------------------------------ which frames, ARP */

static void test_wants__frames__by_type_and_address(void **state)
{
    (void)state;
    uint8_t frame[128] = {0};
    (void)ethernet(frame, 0x0800);
    memcpy(frame + 30, our_ip, 4);
    assert_true(filter->ops->wants(filter, frame, sizeof(frame)));
    assert_true(filter->ops->wants(filter, frame, 34));
    assert_false(filter->ops->wants(filter, frame, 33));
    frame[33]++;
    assert_false(filter->ops->wants(filter, frame, sizeof(frame)));
    memset(frame, 0, sizeof(frame));
    (void)ethernet(frame, 0x0806);
    memcpy(frame + 38, our_ip, 4);
    assert_true(filter->ops->wants(filter, frame, 42));
    assert_false(filter->ops->wants(filter, frame, 41));
    (void)ethernet(frame, 0x8100); /* a tag in front */
    assert_false(filter->ops->wants(filter, frame, sizeof(frame)));
    (void)ethernet(frame, 0x86dd);
    assert_false(filter->ops->wants(filter, frame, sizeof(frame)));
    assert_false(filter->ops->wants(filter, frame, 14));
}

static void send_arp(uint8_t last, uint16_t operation, uint8_t protocol)
{
    uint8_t frame[60] = {0};
    uint8_t *arp = frame + ethernet(frame, 0x0806);
    const uint8_t kind[6] = {0, 1, protocol, 0, 6, 4};
    memcpy(arp, kind, 6);
    be16_store(arp + 6, operation);
    memcpy(arp + 8, guest_mac, 6);
    arp[13] = last;
    memcpy(arp + 14, guest_ip, 4);
    memcpy(arp + 24, our_ip, 4);
    assert_true(offer(frame, sizeof(frame)));
}

static void test_pull__arp_requests__the_newest_answered_once(void **state)
{
    (void)state;
    uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    static const uint8_t reply[42] = {
        0x06, 0,   0,    0,   0, 9, 0x06, 0x01, 0x23, 0x45, 0x67, 0x01, 0x08, 0x06,
        0,    1,   0x08, 0,   6, 4, 0,    2,    6,    1,    0x23, 0x45, 0x67, 0x01,
        169,  254, 169,  254, 6, 0, 0,    0,    0,    9,    192,  168,  0,    2};
    send_arp(8, 1, 8);
    send_arp(9, 1, 8);
    assert_int_equal(filter->ops->pull(filter, frame), sizeof(reply));
    assert_memory_equal(frame, reply, sizeof(reply));
    assert_int_equal(filter->ops->pull(filter, frame), 0);
}

static void test_take__arp_that_is_no_request__swallowed(void **state)
{
    (void)state;
    uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    uint64_t before = metric_get(&metrics.mmds.rx_accepted_err);
    send_arp(8, 2, 8);
    send_arp(8, 1, 9);
    assert_int_equal(filter->ops->pull(filter, frame), 0);
    assert_int_equal(metric_get(&metrics.mmds.rx_accepted_err), before + 2);
}

static void test_take__not_tcp_or_not_port_80__swallowed(void **state)
{
    (void)state;
    uint8_t frame[60] = {0};
    uint64_t unusual = metric_get(&metrics.mmds.rx_accepted_unusual);
    uint64_t bad = metric_get(&metrics.mmds.rx_accepted_err);
    (void)ethernet(frame, 0x0800);
    frame[14] = 0x45;
    frame[17] = 46;
    frame[23] = 1; /* ICMP */
    memcpy(frame + 30, our_ip, 4);
    assert_true(offer(frame, sizeof(frame)));
    assert_int_equal(metric_get(&metrics.mmds.rx_accepted_unusual), unusual + 1);
    frame[23] = 6;
    frame[46] = 0x50;
    frame[47] = MMDS_SYN;
    frame[37] = 81;
    assert_true(offer(frame, sizeof(frame)));
    expect_silence();
    assert_int_equal(metric_get(&metrics.mmds.rx_accepted_err), bad + 1);
}

static void test_take__fragments__never_put_together(void **state)
{
    (void)state;
    uint8_t frame[60] = {0};
    uint64_t bad = metric_get(&metrics.mmds.rx_accepted_err);
    (void)ethernet(frame, 0x0800);
    frame[14] = 0x45;
    frame[17] = 46;
    frame[23] = 6;
    memcpy(frame + 30, our_ip, 4);
    frame[37] = 80;
    frame[46] = 0x50;
    frame[47] = MMDS_SYN;
    frame[20] = 0x20; /* the first */
    assert_true(offer(frame, sizeof(frame)));
    frame[20] = 0; /* the last, which overlaps it */
    frame[21] = 1;
    assert_true(offer(frame, sizeof(frame)));
    expect_silence();
    assert_int_equal(metric_get(&metrics.mmds.rx_accepted_err), bad + 2);
}

/* ------------------------------------------------------------------ one connection */

static void test_conn__request__answered_and_closed(void **state)
{
    (void)state;
    uint64_t made = metric_get(&metrics.mmds.connections_created);
    uint64_t gone = metric_get(&metrics.mmds.connections_destroyed);
    connect_with(1460);
    assert_int_equal(metric_get(&metrics.mmds.connections_created), made + 1);
    send_text(GET_ROOT);
    expect_response("a");
    send_full(MMDS_FIN | MMDS_ACK, NULL, 0, NULL, 0);
    guest.seq++;
    expect_flags(MMDS_FIN | MMDS_ACK);
    assert_int_equal(got.ack, guest.seq);
    assert_int_equal(got.seq, guest.ack);
    guest.ack++;
    send_flags(MMDS_ACK);
    expect_silence();
    assert_int_equal(filter->ops->due_ns(filter), 0);
    assert_int_equal(metric_get(&metrics.mmds.connections_destroyed), gone + 1);
    send_flags(MMDS_ACK); /* it is unknown now */
    expect_flags(MMDS_RST);
    assert_int_equal(got.seq, guest.ack);
}

static void test_conn__request_with_fin__answered_before_our_fin(void **state)
{
    (void)state;
    connect_with(1460);
    send_full(MMDS_FIN | MMDS_ACK, NULL, 0, GET_ROOT, strlen(GET_ROOT));
    guest.seq += (uint32_t)strlen(GET_ROOT) + 1;
    expect_response("a");
    send_flags(MMDS_ACK);
    expect_flags(MMDS_FIN | MMDS_ACK);
}

static void test_conn__mss__echoed_and_kept(void **state)
{
    (void)state;
    static const struct {
        uint16_t said;
        uint16_t told;
        size_t largest;
    } cases[] = {{0, 536, 536}, {100, 100, 100}, {1460, 1460, 1460}, {8960, 8960, 1460}, {1, 1, 1}};
    char text[4096];
    (void)snprintf(text, sizeof(text), "{\"a\":\"%01900d\"}", 0);
    put(text);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t largest = 0;
        size_t total = 0;
        guest.port = (uint16_t)(1000 + i);
        connect_with(cases[i].said);
        send_text("GET /a HTTP/1.1\r\n\r\n");
        while (pull()) {
            largest = got.payload_len > largest ? got.payload_len : largest;
            total += got.payload_len;
        }
        assert_int_equal(largest, cases[i].largest);
        assert_in_range(total, 2000, 2100);
    }
    guest.port = 2000;
    guest.seq = 5;
    send_full(MMDS_SYN, (uint8_t[]){2, 4, 0x23, 0}, 4, NULL, 0);
    expect_flags(MMDS_SYN | MMDS_ACK);
    assert_int_equal(got.mss, 8960);
}

static void test_conn__impossible_syn__no_connection_and_silence(void **state)
{
    (void)state;
    uint64_t made = metric_get(&metrics.mmds.connections_created);
    send_full(MMDS_SYN, (uint8_t[]){8, 0, 2, 4}, 4, NULL, 0);
    send_full(MMDS_SYN, (uint8_t[]){2, 4, 0, 0}, 4, NULL, 0);
    send_full(MMDS_SYN, (uint8_t[]){1, 1, 1, 7}, 4, NULL, 0);
    send_full(MMDS_SYN, NULL, 0, "x", 1);
    expect_silence();
    assert_int_equal(metric_get(&metrics.mmds.connections_created), made);
    send_flags(MMDS_SYN | 0xc0); /* with ECN */
    expect_flags(MMDS_RST | MMDS_ACK);
    assert_int_equal(got.ack, guest.seq + 1);
}

static void test_conn__request_in_pieces__answered_when_whole(void **state)
{
    (void)state;
    connect_with(1460);
    for (const char *at = GET_ROOT; at[1]; at++) {
        send_full(MMDS_ACK, NULL, 0, at, 1);
        guest.seq++;
        expect_flags(MMDS_ACK);
        assert_int_equal(got.ack, guest.seq);
        expect_silence();
    }
    send_text("\n");
    expect_response("a");
}

static void test_conn__overlap_gap_or_beyond_window__dropped_and_told(void **state)
{
    (void)state;
    static const char junk[MMDS_REQUEST_MAX_SIZE + 100] = "";
    connect_with(1460);
    send_text("GET /");
    expect_flags(MMDS_ACK);
    uint32_t wanted = guest.seq;
    static const int32_t shifts[] = {-5, -1, 1, 100, 100000};
    for (size_t i = 0; i < ARRAY_LEN(shifts); i++) {
        guest.seq = wanted + (uint32_t)shifts[i];
        send_full(MMDS_ACK | MMDS_FIN, NULL, 0, "XXXXXXXXXX", 10);
        expect_flags(MMDS_ACK);
        assert_int_equal(got.ack, wanted);
    }
    guest.seq = wanted;
    send_full(MMDS_ACK, NULL, 0, junk, MMDS_REQUEST_MAX_SIZE - 4); /* one too many */
    expect_flags(MMDS_ACK);
    assert_int_equal(got.ack, wanted);
    assert_int_equal(got.window, MMDS_REQUEST_MAX_SIZE - 5);
    static char large[60000];
    send_full(MMDS_ACK, NULL, 0, large, sizeof(large)); /* not even here */
    expect_flags(MMDS_ACK);
    assert_int_equal(got.ack, wanted);
    send_text("a HTTP/1.1\r\n\r\n");
    expect_response("v");
}

static void test_conn__buffer_full_without_end__reset(void **state)
{
    (void)state;
    char junk[MMDS_REQUEST_MAX_SIZE];
    memset(junk, 'x', sizeof(junk));
    connect_with(8960);
    send_full(MMDS_ACK, NULL, 0, junk, sizeof(junk));
    expect_flags(MMDS_RST | MMDS_ACK);
    assert_int_equal(got.seq, guest.ack);
    expect_silence();
}

static void test_conn__pipelined__one_after_the_other(void **state)
{
    (void)state;
    connect_with(1460);
    send_text(GET_ROOT "GET /a HTTP/1.1\r\n\r\n" GET_ROOT);
    expect_response("a");
    send_flags(MMDS_ACK);
    expect_response("v");
    send_flags(MMDS_ACK);
    expect_response("a");
    send_flags(MMDS_ACK);
    expect_silence();
}

static void test_conn__window_shut__opens_when_the_response_is_taken(void **state)
{
    (void)state;
    char junk[MMDS_REQUEST_MAX_SIZE];
    memset(junk, '\n', sizeof(junk));
    connect_with(1460);
    send_text(GET_ROOT);
    expect_response("a");
    size_t room = MMDS_REQUEST_MAX_SIZE;
    send_full(MMDS_ACK, NULL, 0, "GET / HTTP/1.1\r\n\r\n", 18); /* acknowledges, and asks */
    guest.seq += 18;
    assert_true(pull());
    assert_int_equal(got.window, room);
    memset(junk, 'x', sizeof(junk));
    send_full(MMDS_ACK, NULL, 0, junk, sizeof(junk)); /* fills it: the response is not taken */
    guest.seq += (uint32_t)sizeof(junk);
    expect_flags(MMDS_ACK);
    assert_int_equal(got.window, 0);
    assert_int_equal(got.ack, guest.seq);
    send_full(MMDS_ACK, NULL, 0, "x", 1); /* a probe */
    expect_flags(MMDS_ACK);
    assert_int_equal(got.ack, guest.seq);
}

static void test_conn__small_window_of_the_guest__kept_to(void **state)
{
    (void)state;
    guest.window = 10;
    connect_with(1460);
    send_text(GET_ROOT);
    size_t total = 0;
    while (pull()) {
        assert_in_range(got.payload_len, 1, 10);
        total += got.payload_len;
        guest.ack += (uint32_t)got.payload_len;
        expect_silence();
        send_flags(MMDS_ACK);
    }
    assert_in_range(total, 100, 200);
    guest.window = 0;
    send_text(GET_ROOT);
    expect_flags(MMDS_ACK);
    expect_silence();
    assert_int_equal(filter->ops->due_ns(filter), 0); /* waits for the guest */
    guest.window = 100;
    send_flags(MMDS_ACK);
    assert_true(pull());
    assert_int_equal(got.payload_len, 100);
}

/* ------------------------------------------------------------------ losses */

static void test_conn__synack_lost__sent_again(void **state)
{
    (void)state;
    guest.seq = 77;
    send_flags(MMDS_SYN);
    expect_flags(MMDS_SYN | MMDS_ACK);
    uint32_t first = got.seq;
    expect_silence();
    send_flags(MMDS_SYN);
    expect_flags(MMDS_SYN | MMDS_ACK);
    assert_int_equal(got.seq, first);
    assert_int_equal(filter->ops->due_ns(filter), world.now_ns + MMDS_RETRANSMIT_NS);
    world.now_ns += MMDS_RETRANSMIT_NS;
    expect_flags(MMDS_SYN | MMDS_ACK);
    assert_int_equal(got.seq, first);
    expect_silence();
}

static void test_conn__response_lost__sent_again_15_times_then_reset(void **state)
{
    (void)state;
    connect_with(536);
    send_text(GET_ROOT);
    assert_true(pull());
    uint32_t first = got.seq;
    size_t len = got.payload_len;
    for (uint32_t i = 0; i < MMDS_RETRIES_MAX; i++) {
        world.now_ns += MMDS_RETRANSMIT_NS - 1;
        expect_silence();
        assert_int_equal(filter->ops->due_ns(filter), world.now_ns + 1);
        world.now_ns += 1;
        assert_true(pull());
        assert_int_equal(got.seq, first);
        assert_int_equal(got.payload_len, len);
    }
    world.now_ns += MMDS_RETRANSMIT_NS;
    expect_flags(MMDS_RST | MMDS_ACK);
    expect_silence();
    assert_int_equal(filter->ops->due_ns(filter), 0);
}

static void test_conn__duplicate_ack__sent_again_from_there(void **state)
{
    (void)state;
    connect_with(50);
    send_text(GET_ROOT);
    assert_true(pull());
    guest.ack += 50; /* the first arrives, the second is lost */
    uint32_t second = got.seq + 50;
    uint32_t end = 0;
    while (pull())
        end = got.seq + (uint32_t)got.payload_len;
    send_flags(MMDS_ACK);
    expect_silence();
    send_flags(MMDS_ACK);
    for (guest.ack = second; pull(); guest.ack += (uint32_t)got.payload_len)
        assert_int_equal(got.seq, guest.ack);
    assert_int_equal(guest.ack, end);
}

static void expect_response_after(uint32_t ack)
{
    guest.ack = ack;
    send_flags(MMDS_ACK);
}

static void test_conn__ack_of_what_was_not_sent__told(void **state)
{
    (void)state;
    connect_with(1460);
    uint32_t ack = guest.ack;
    expect_response_after(ack + 1);
    expect_flags(MMDS_ACK);
    assert_int_equal(got.seq, ack);
    guest.ack = ack - 1; /* an old one */
    send_flags(MMDS_ACK);
    expect_silence();
    guest.ack = ack;
    send_text(GET_ROOT);
    expect_response("a");
}

static void test_conn__reset_by_the_guest__only_in_the_window(void **state)
{
    (void)state;
    connect_with(1460);
    uint32_t seq = guest.seq;
    guest.seq = seq - 1;
    send_flags(MMDS_RST);
    guest.seq = seq + MMDS_REQUEST_MAX_SIZE;
    send_flags(MMDS_RST);
    guest.seq = seq;
    send_text(GET_ROOT);
    expect_response("a");
    send_flags(MMDS_RST);
    expect_silence();
    send_flags(MMDS_ACK);
    expect_flags(MMDS_RST);
}

static void test_conn__another_syn__reset(void **state)
{
    (void)state;
    connect_with(1460);
    send_flags(MMDS_SYN);
    expect_flags(MMDS_RST | MMDS_ACK);
    send_flags(0); /* nothing, of a connection that is unknown */
    expect_flags(MMDS_RST | MMDS_ACK);
    send_flags(MMDS_RST);
    expect_silence();
}

static void test_conn__wrong_ack_of_our_syn__reset(void **state)
{
    (void)state;
    send_flags(MMDS_SYN);
    expect_flags(MMDS_SYN | MMDS_ACK);
    guest.seq++;
    guest.ack = got.seq + 2;
    send_flags(MMDS_ACK);
    expect_flags(MMDS_RST | MMDS_ACK);
}

/* ------------------------------------------------------------------ many connections */

static void test_endpoint__31st__refused_or_the_idlest_goes(void **state)
{
    (void)state;
    typeof(guest) first = guest;
    for (uint16_t i = 0; i < MMDS_CONNS_MAX; i++) {
        guest.port = (uint16_t)(1000 + i);
        connect_with(1460);
        world.now_ns += NS_PER_MS;
        if (i == 0)
            first = guest;
    }
    guest = first; /* not the idlest any more */
    send_text("GET ");
    expect_flags(MMDS_ACK);
    guest.port = 2000;
    send_flags(MMDS_SYN);
    expect_flags(MMDS_RST | MMDS_ACK);
    assert_int_equal(be16_load(got.frame + 36), 2000);
    world.now_ns += MMDS_EVICT_NS - 25 * NS_PER_MS; /* only the first ones for so long */
    send_flags(MMDS_SYN);
    expect_flags(MMDS_RST | MMDS_ACK);
    assert_int_equal(be16_load(got.frame + 36), 1001);
    expect_flags(MMDS_SYN | MMDS_ACK);
    assert_int_equal(be16_load(got.frame + 36), 2000);
}

static void test_endpoint__resets__a_hundred_kept(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 150; i++) {
        guest.port = (uint16_t)(3000 + i);
        send_flags(MMDS_ACK);
    }
    for (uint16_t i = 0; i < MMDS_RESETS_MAX; i++) {
        expect_flags(MMDS_RST);
        assert_int_equal(be16_load(got.frame + 36), 3000 + i);
    }
    expect_silence();
}

static void test_endpoint__two_connections__take_turns(void **state)
{
    (void)state;
    uint16_t ports[2];
    connect_with(40);
    uint32_t ack = guest.ack;
    guest.port++;
    connect_with(40);
    send_text(GET_ROOT);
    guest.port--;
    guest.ack = ack;
    guest.seq -= (uint32_t)strlen(GET_ROOT);
    send_text(GET_ROOT);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(pull());
        ports[i] = be16_load(got.frame + 36);
    }
    assert_int_not_equal(ports[0], ports[1]);
}

static void test_reset__connections_and_arp__forgotten(void **state)
{
    (void)state;
    uint64_t gone = metric_get(&metrics.mmds.connections_destroyed);
    connect_with(1460);
    send_text(GET_ROOT);
    send_arp(8, 1, 8);
    filter->ops->reset(filter);
    expect_silence();
    assert_int_equal(filter->ops->due_ns(filter), 0);
    assert_int_equal(metric_get(&metrics.mmds.connections_destroyed), gone + 1);
}

static void test_conn__impossible_syn_while_full__ends_nobody(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 30; i++) {
        guest.port = (uint16_t)(1000 + i);
        connect_with(1460);
    }
    world.now_ns += 20000 * NS_PER_MS; /* all are idle for long */
    uint64_t gone = metric_get(&metrics.mmds.connections_destroyed);
    guest.port = 5000;
    guest.seq = 1;
    send_full(MMDS_SYN, (uint8_t[]){2, 3, 1, 0}, 4, NULL, 0);
    send_full(MMDS_SYN, NULL, 0, "x", 1);
    assert_int_equal(metric_get(&metrics.mmds.connections_destroyed), gone);
}

static void test_conn__too_much_waits_to_be_acknowledged__reset(void **state)
{
    (void)state;
    put("{\"a\":\"v\"}");
    connect_with(1460);
    world.mmds->responses_size = MMDS_RESPONSES_MAX_SIZE + 1; /* other connections' */
    send_text("GET /a HTTP/1.1\r\n\r\n");
    expect_flags(MMDS_RST | MMDS_ACK);
    world.mmds->responses_size = 0;
}

static void test_conn__no_random__as_if_the_syn_was_lost(void **state)
{
    (void)state;
    world.random_result = -EIO;
    send_flags(MMDS_SYN);
    expect_silence();
    world.random_result = 0;
    connect_with(1460);
}

static void test_conn__no_answer_can_be_made__reset(void **state)
{
    (void)state;
    uint64_t before = metric_get(&metrics.mmds.tx_errors);
    connect_with(1460);
    world.random_result = -EIO;
    send_text("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 1\r\n\r\n");
    expect_flags(MMDS_RST | MMDS_ACK);
    assert_int_equal(metric_get(&metrics.mmds.tx_errors), before + 1);
}

#define NIC(test) cmocka_unit_test_setup_teardown(test, nic_setup, nic_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NIC(test_wants__frames__by_type_and_address),
        NIC(test_pull__arp_requests__the_newest_answered_once),
        NIC(test_take__arp_that_is_no_request__swallowed),
        NIC(test_take__not_tcp_or_not_port_80__swallowed),
        NIC(test_take__fragments__never_put_together),
        NIC(test_conn__request__answered_and_closed),
        NIC(test_conn__request_with_fin__answered_before_our_fin),
        NIC(test_conn__mss__echoed_and_kept),
        NIC(test_conn__impossible_syn__no_connection_and_silence),
        NIC(test_conn__impossible_syn_while_full__ends_nobody),
        NIC(test_conn__too_much_waits_to_be_acknowledged__reset),
        NIC(test_conn__request_in_pieces__answered_when_whole),
        NIC(test_conn__overlap_gap_or_beyond_window__dropped_and_told),
        NIC(test_conn__buffer_full_without_end__reset),
        NIC(test_conn__pipelined__one_after_the_other),
        NIC(test_conn__window_shut__opens_when_the_response_is_taken),
        NIC(test_conn__small_window_of_the_guest__kept_to),
        NIC(test_conn__synack_lost__sent_again),
        NIC(test_conn__response_lost__sent_again_15_times_then_reset),
        NIC(test_conn__duplicate_ack__sent_again_from_there),
        NIC(test_conn__ack_of_what_was_not_sent__told),
        NIC(test_conn__reset_by_the_guest__only_in_the_window),
        NIC(test_conn__another_syn__reset),
        NIC(test_conn__wrong_ack_of_our_syn__reset),
        NIC(test_endpoint__31st__refused_or_the_idlest_goes),
        NIC(test_endpoint__resets__a_hundred_kept),
        NIC(test_endpoint__two_connections__take_turns),
        NIC(test_reset__connections_and_arp__forgotten),
        NIC(test_conn__no_random__as_if_the_syn_was_lost),
        NIC(test_conn__no_answer_can_be_made__reset),
    };
    return cmocka_run_group_tests_name("nic", tests, NULL, NULL);
}
