#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpora of the structured fuzz targets: tests/fuzz/corpus/blk, corpus/vmmio and corpus/vsock,
and the streams of corpus/http.

usage: tests/fuzz/make_corpus.py [TARGET...]

A seed is a short scene, spelled with the operations of the target's own table (fuzz_blk.c,
fuzz_vmmio.c, fuzz_vsock.c), so a change of an order there is made here too, and this is run again. Inputs that a
fuzzer found are kept beside the seeds and are left alone.
"""

import os
import sys

# fuzz_blk.c, ops[].
OFFER, KICK, POLITE, COMPLETE, BEHAVE, WAIT, SUPPRESS, SETTLE = 0, 3, 4, 5, 6, 7, 8, 9
RESTART, FLIP, FLIP_LATER, RAW_DESC, RAW_OFFER, RAW_IDX = 10, 11, 12, 13, 14, 15

# wish_read: request types by their index, length by its index in data_lens.
READ, WRITE, FLUSH, GET_ID, ODD_TYPE, DISCARD = 0, 1, 3, 4, 6, 7
LEN_512, LEN_1024, LEN_4096, LEN_8192, LEN_0, LEN_1, LEN_511, LEN_513, LEN_20, LEN_19 = range(10)
LEN_TOO_LONG = 11
SPLIT_HEADER, SPLIT_DATA, MERGED_STATUS, INDIRECT, HIGH = 1, 2, 4, 8, 16
PLAIN = 0xff
BAD_ADDR, SHORT_HEADER, NO_STATUS, BAD_STATUS, FAR_SECTOR = 0x06, 0x21, 0x28, 0x2c, 0x31

# create(): first byte; activate(): size as log2, then flags.
READ_ONLY, WRITEBACK, LIMIT_OPS, LIMIT_BYTES = 4, 8, 16, 32
EVENT_IDX, INDIRECT_OK, NOT_READY, OWN_RINGS = 1, 2, 4, 8

# op_behave
LATER, FAILING, SHORT, KICK_FAILS, START_FAILS, DRAIN_FAILS, LITTLE_ROOM = (
    1, 2, 6, 8, 0x18, 0x60, 0x80)

# target_addr: bases by their index; 8 makes the offset 16 bits wide.
IN_DESC, IN_AVAIL, IN_USED, IN_INDIRECT, IN_HEADER, IN_STATUS = range(6)


def offer(kind, length=LEN_512, how=0, sector=2, odd=PLAIN):
    return bytes([OFFER, kind | length << 3, how, sector, odd])


def flip_later(base, off, countdown, value):
    return bytes([FLIP_LATER, base, off, countdown - 1, value])


def raw_desc(idx, flags, base, off, len16, nxt, indirect=False):
    return bytes([RAW_DESC, idx | (0x80 if indirect else 0), flags, base, off, len16, nxt])


def device(flags=0, size_log2=4, queue=INDIRECT_OK):
    return bytes([flags, size_log2, queue])


def ops(*names):
    return bytes(names)


def done(idx=0):
    return bytes([COMPLETE, idx])


def done_and_told(idx=0):
    return bytes([COMPLETE, idx | 0x80])


READ_4K = offer(READ, LEN_4096)

BLK = {
    'read-write-flush-id': device(WRITEBACK) + READ_4K + offer(WRITE, LEN_4096, sector=8)
    + offer(FLUSH, LEN_0) + offer(GET_ID, LEN_20) + ops(KICK, SETTLE),
    'every-framing': device(size_log2=8) + b''.join(
        offer(kind, LEN_1024, how) for kind in (READ, WRITE) for how in range(16)) + ops(KICK),
    'bad-requests': device() + offer(READ, LEN_511) + offer(ODD_TYPE) + offer(GET_ID, LEN_19)
    + offer(READ, LEN_512, odd=FAR_SECTOR) + offer(WRITE, LEN_512, odd=BAD_ADDR)
    + ops(KICK) + offer(READ, LEN_TOO_LONG) + offer(DISCARD) + ops(KICK, SETTLE),
    'short-header': device() + READ_4K + offer(READ, odd=SHORT_HEADER) + READ_4K
    + ops(KICK, KICK, SETTLE, RESTART, 4, 0) + READ_4K + ops(KICK),
    'no-status': device() + offer(WRITE, odd=NO_STATUS) + ops(KICK, SETTLE),
    'status-outside': device(queue=EVENT_IDX) + READ_4K + offer(FLUSH, LEN_0, odd=BAD_STATUS)
    + ops(KICK, SETTLE),
    'async-any-order': device(queue=EVENT_IDX | INDIRECT_OK) + ops(BEHAVE, LATER)
    + READ_4K * 3 + ops(POLITE) + done(2) + done_and_told(0) + READ_4K + ops(POLITE)
    + done_and_told(1) + ops(SETTLE),
    'engine-busy': device() + ops(BEHAVE, LATER | LITTLE_ROOM, 1) + READ_4K * 3 + ops(POLITE)
    + done_and_told(0) + done_and_told(0) + ops(POLITE, SETTLE),
    'limited': device(LIMIT_OPS | LIMIT_BYTES) + READ_4K * 4 + ops(POLITE, WAIT, 20)
    + READ_4K + ops(POLITE, WAIT, 200, POLITE, SETTLE),
    'limited-and-busy': device(LIMIT_OPS) + ops(BEHAVE, LATER | LITTLE_ROOM, 2) + READ_4K * 6
    + ops(POLITE, WAIT, 30) + done_and_told(1) + ops(SETTLE),
    'failing-disk': device(WRITEBACK) + ops(BEHAVE, FAILING) + READ_4K + offer(FLUSH, LEN_0)
    + ops(KICK, BEHAVE, SHORT) + READ_4K + ops(KICK, BEHAVE, START_FAILS) + READ_4K
    + offer(WRITE) + ops(KICK, BEHAVE, KICK_FAILS | LATER) + READ_4K + ops(KICK, SETTLE),
    'reset-in-flight': device() + ops(BEHAVE, LATER) + READ_4K * 3 + ops(KICK) + done(0)
    + ops(RESTART, 5, 3) + READ_4K + ops(KICK, SETTLE),
    'drain-fails': device() + ops(BEHAVE, LATER | DRAIN_FAILS) + READ_4K * 2 + ops(KICK)
    + ops(RESTART, 4, 2) + READ_4K * 2 + ops(KICK) + done(0) + done_and_told(0)
    + done_and_told(0) + ops(SETTLE),
    'read-only': device(READ_ONLY) + offer(WRITE) + READ_4K + ops(KICK, SETTLE),
    'empty-disk': device(2) + READ_4K + offer(READ, LEN_0, sector=0) + offer(WRITE)
    + ops(KICK, SETTLE),
    'suppressed': device() + ops(SUPPRESS, 3) + READ_4K + ops(POLITE, SUPPRESS, 1) + READ_4K
    + ops(POLITE, SETTLE),
    'used-event': device(queue=EVENT_IDX) + ops(SUPPRESS, 6) + READ_4K * 2 + ops(POLITE)
    + READ_4K * 2 + ops(POLITE, SETTLE),
    'type-flips': device() + ops(BEHAVE, LATER) + READ_4K * 2
    + flip_later(IN_HEADER, 16, 1, WRITE) + ops(KICK, SETTLE),
    'length-flips': device() + READ_4K * 2 + flip_later(IN_DESC, 16 * 5 + 9, 1, 0xff)
    + ops(KICK, SETTLE),
    'avail-entry-flips': device() + READ_4K * 3 + flip_later(IN_AVAIL, 6, 1, 0)
    + ops(KICK, SETTLE),
    'avail-index-flips': device() + READ_4K + flip_later(IN_AVAIL, 2, 1, 0x80) + ops(KICK, SETTLE),
    'head-twice': device() + ops(BEHAVE, LATER) + READ_4K + ops(KICK, RAW_OFFER, 0, 0, KICK)
    + done_and_told(0) + ops(SETTLE),
    'head-outside': device() + ops(RAW_OFFER, 16, 0, KICK, SETTLE),
    'chain-loops': device() + raw_desc(0, 1, IN_HEADER, 0, 1, 1)
    + raw_desc(1, 1, IN_HEADER, 0, 1, 0) + ops(RAW_OFFER, 0, 0, KICK, SETTLE),
    'indirect-loops': device() + raw_desc(0, 4, IN_INDIRECT, 0, 2, 0)
    + raw_desc(0, 1, IN_HEADER, 0, 1, 1, True) + raw_desc(1, 3, IN_STATUS, 0, 1, 0, True)
    + ops(RAW_OFFER, 0, 0, KICK, SETTLE),
    'indirect-in-indirect': device() + raw_desc(0, 4, IN_INDIRECT, 0, 2, 0)
    + raw_desc(0, 4, IN_INDIRECT, 0, 2, 0, True) + ops(RAW_OFFER, 0, 0, KICK, SETTLE),
    'index-jumps': device() + READ_4K + ops(KICK, RAW_IDX, 0xff, 0x7f, KICK, SETTLE),
    'rings-overlap': device(0, 4, OWN_RINGS | INDIRECT_OK) + bytes([0, 0, 0, 0, 2, 0]) + READ_4K
    + ops(KICK, SETTLE),
    'rings-outside': device(0, 4, OWN_RINGS | 16) + bytes([0, 0, 0xf0, 0x7f, 0, 0]) + READ_4K
    + ops(KICK),
    'queue-not-ready': device(0, 4, NOT_READY) + READ_4K + ops(KICK, RESTART, 4, 0) + READ_4K
    + ops(KICK, SETTLE),
    'odd-queue-sizes': device(0, 9) + b''.join(ops(RESTART, size, 0) for size in range(10, 16))
    + ops(RESTART, 0, 2) + READ_4K + ops(KICK, RESTART, 2, 0) + READ_4K + ops(KICK, SETTLE),
}

# fuzz_vmmio.c, ops[].
BRING_UP, WRITE_REG, ODD_ACCESS, VQ_OFFER, NOTIFY, LOOP, RESET, ACK = range(8)
STATUS_REG, QUEUE_NUM_REG, QUEUE_SEL_REG, CONFIG_REG = 0x70 // 4, 0x38 // 4, 0x30 // 4, 0x100 // 4
ALL_STEPS = 6


def bring_up(steps=ALL_STEPS, size_log2=3, shift=0):
    return bytes([BRING_UP, steps, size_log2, shift & 0xff, shift >> 8])


def write_reg(reg, value):
    return bytes([WRITE_REG, reg]) + value.to_bytes(4, 'little')


def vq_offer(idx, flags=0, len16=1, nxt=0):
    return bytes([VQ_OFFER, idx, flags, len16, nxt])


def notify(queue=0):
    return bytes([NOTIFY, queue])


VMMIO = {
    'up-and-served': bring_up() + vq_offer(0) + vq_offer(1, 2) + notify() + ops(LOOP, ACK, RESET),
    'all-queues': bring_up() + vq_offer(0) + notify(0) + notify(1) + notify(2) + notify(4)
    + ops(LOOP),
    'before-driver-ok': bring_up(5) + vq_offer(0) + notify() + ops(LOOP)
    + write_reg(STATUS_REG, 15) + ops(LOOP),
    'twice-up': bring_up() + vq_offer(0) + notify() + ops(RESET) + bring_up() + vq_offer(3)
    + notify() + ops(LOOP),
    'activation-refused': bring_up(shift=1) + notify() + ops(LOOP, ACK, RESET) + bring_up(),
    'rings-shifted': bring_up(5, shift=0x0ffe) + write_reg(STATUS_REG, 15) + ops(LOOP),
    'rings-outside': bring_up(5, shift=0xf000) + write_reg(STATUS_REG, 15) + ops(LOOP),
    'queue-too-large': bring_up(size_log2=9) + notify() + ops(LOOP),
    'steps-skipped': write_reg(STATUS_REG, 15) + write_reg(STATUS_REG, 1)
    + write_reg(STATUS_REG, 11) + write_reg(STATUS_REG, 0x80) + write_reg(STATUS_REG, 3),
    'broken-then-reset': bring_up() + vq_offer(200) + notify() + notify() + ops(ACK, RESET)
    + bring_up() + vq_offer(0) + notify(),
    'registers-while-running': bring_up() + write_reg(QUEUE_NUM_REG, 3)
    + write_reg(QUEUE_SEL_REG, 7) + write_reg(QUEUE_NUM_REG, 3) + notify() + ops(LOOP),
    'odd-widths': bring_up(3) + b''.join(
        bytes([ODD_ACCESS, off & 0xff, off >> 8, how]) for off in (0x70, 0x71, 0x100, 0x109, 0xfff)
        for how in range(8)),
    'config-space': write_reg(CONFIG_REG, 0xffffffff) + bytes([ODD_ACCESS, 8, 1, 3]),
    'chains': bring_up() + vq_offer(0, 1, 1, 1) + vq_offer(1, 3, 1, 2) + vq_offer(2, 2)
    + notify() + vq_offer(3, 0x84) + vq_offer(4, 4, 1) + notify() + ops(LOOP),
}



def request(method='GET', uri='/', headers=(), body=b'', version='HTTP/1.1'):
    lines = [f'{method} {uri} {version}', *headers]
    if body:
        lines.append(f'Content-Length: {len(body)}')
    return '\r\n'.join(lines + ['', '']).encode('latin-1') + body


PUT = request('PUT', '/drives/rootfs', ['Host: localhost', 'Content-Type: application/json'],
              b'{"drive_id":"rootfs"}')

# fuzz_http.c: the stream as a client writes it.
HTTP = {
    'get': request(headers=['Host: localhost', 'Accept: */*']),
    'put': PUT,
    'patch-delete': request('PATCH', '/vm', body=b'{"state":"Paused"}') + request('DELETE', '/drives/a'),
    'pipelined': PUT + request() + PUT + request(uri='/version')[:-1],
    'version-1-0': request(headers=['Connection: close'], version='HTTP/1.0') + request(),
    'absolute-form': request(uri='http://localhost:80/vm/config') + request(uri='http://localhost'),
    'other-forms': request(uri='*') + request(uri='vm') + request(uri='/a?b=%41#c'),
    'expect': request('PUT', '/a', ['Expect: 100-continue'], b'{}'),
    'expect-cut': request('PUT', '/a', ['Expect: 100-continue'], b'{}')[:-1],
    'upgrade': request('PUT', '/a', ['Connection: Upgrade', 'Upgrade: h2c'], b'{}') + request(),
    'body-limit': request('PUT', '/a', body=b'x' * 300),
    'body-beyond': request('PUT', '/a', body=b'x' * 301),
    'body-binary': request('PUT', '/a', body=bytes(range(256))),
    'chunked': request('PUT', '/a', ['Transfer-Encoding: chunked']) + b'2\r\n{}\r\n0\r\n\r\n',
    'identity': request('PUT', '/a', ['Transfer-Encoding: identity'], b'{}'),
    'length-twice': request('PUT', '/a', ['Content-Length: 2'], b'{}'),
    'length-bad': request('PUT', '/a', ['Content-Length: +2']) + b'{}',
    'length-huge': request('PUT', '/a', ['Content-Length: 4294967296']),
    'length-blank': request('PUT', '/a', ['Content-Length : 2']) + b'{}',
    'accept-encoding': request(headers=['Accept-Encoding: gzip, *;q=0, identity;q=1']),
    'no-identity': request(headers=['Accept-Encoding: gzip, *;q=0']),
    'folded': request(headers=['A: b', ' c: d']),
    'no-colon': request(headers=['Host']) + request(),
    'not-utf8': request(headers=['X: \xff\xe2\x82']),
    'control': request(headers=['X: a\x01b']),
    'bare-lf': request(headers=['Host: a']).replace(b'\r\n', b'\n'),
    'bare-cr': request(headers=['Host: a\rb']),
    'methods': request('POST') + request('get'),
    'versions': request(version='HTTP/2.0'),
    'empty-uri': request(uri=''),
    'nul-in-uri': request(uri='/a\x00b'),
    'line-limit': request(uri='/' + 'a' * 1008, headers=['X: ' + 'b' * 1019]) + request(),
    'line-beyond': request(uri='/' + 'a' * 1009),
    'header-beyond': request(headers=['X: ' + 'b' * 1020]),
    'many-headers': request(headers=['a:b'] * 3000),
    'head-beyond': request(headers=['X: ' + 'b' * 1000] * 82),
}

# fuzz_vsock.c, operations[]; enum vsock_op; ports by their index in pick_port, lengths in pick_len.
V_GIVE, V_GUEST, V_CONNECT, V_ACCEPT, V_WRITE, V_READ, V_END, V_TURN, V_PAUSE, V_RESET = 2, 4, 8, 10, 11, 13, 14, 15, 17, 20
REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = range(7)
LOCAL, NEXT_LOCAL, LISTENER, GUEST_52, GUEST_53 = 0, 1, 3, 6, 7
V_100, V_4096, V_65536, V_65537 = 6, 8, 10, 11
CLOSE, NO_READ, NO_WRITE, NEITHER = range(4)
START = bytes([16])


def vguest(op, local=LOCAL, peer=GUEST_52, flags=0, length=None, oddity=100):
    return bytes([V_GUEST, op, local, peer, flags, oddity]) + (b'' if length is None else bytes([length]))


def vconnect(host=0, line=0):
    return bytes([V_CONNECT, host, 1, line])


def vwrite(length, host=0):
    return bytes([V_WRITE, host, length])


def vread(length, host=0):
    return bytes([V_READ, host, length])


def vturn(hundredths=0):
    return bytes([V_TURN, hundredths])


GIVE = bytes([V_GIVE])
OPENED = START + GIVE + vconnect() + vturn() + vguest(RESPONSE) + vread(V_100)
TAKEN = START + GIVE + vguest(REQUEST, LISTENER) + vturn() + bytes([V_ACCEPT, 0])
VSOCK = {
    'host-opens': OPENED + vwrite(V_4096) + vturn() + vguest(RW, length=V_100) + vread(V_100),
    'guest-opens': TAKEN + vguest(RW, LISTENER, length=V_4096) + vread(V_4096) + vwrite(V_65536) + vturn() + GIVE,
    'host-half-closes': OPENED + bytes([V_END, 0, NO_WRITE]) + vturn() + vguest(RW, length=V_100) + bytes([V_END, 0, CLOSE]) +
                        vturn() + vguest(RST),
    'guest-half-closes': OPENED + vguest(SHUTDOWN, flags=2) + vwrite(V_100) + vturn() + vguest(SHUTDOWN, flags=1) + vturn(),
    'host-does-not-read': OPENED + vguest(RW, length=V_65536) * 6 + vread(V_65536) * 6 + vturn(),
    'guest-takes-nothing': OPENED + vguest(CREDIT_UPDATE, oddity=16) + vwrite(V_4096) + vturn() + vguest(CREDIT_UPDATE) +
                           vturn() + vguest(CREDIT_REQUEST),
    'no-answer': START + GIVE + vconnect() + vturn() + vturn(250),
    'full-listener': TAKEN + vguest(REQUEST, LISTENER, GUEST_53) * 3 + vturn(1) + bytes([V_ACCEPT, 1]) + vturn(250),
    'resets': (vguest(RST) + vguest(RW, NEXT_LOCAL, GUEST_53, length=V_100)) * 8 + GIVE,
    'other-types': START + GIVE + vguest(REQUEST, oddity=2) + vguest(REQUEST, oddity=9) + vguest(RW, length=V_65537),
    'paused': OPENED + vwrite(V_100) + bytes([V_PAUSE, 200]) + vturn(),
    'reset-with-streams': OPENED + vwrite(V_100) + bytes([V_RESET, 16]) + vturn() + GIVE + vconnect(1) + vturn(),
    'line-in-pieces': START + bytes([V_CONNECT, 0, 0, 5]) + b'CONNE' + vturn() + bytes([V_CONNECT, 0, 0, 11]) + b'CONNECT 52\n',
}

# fuzz_mmds.c: operations, each with its choices.
SYN, ACK, ACK_PSH, FIN = 5, 0, 1, 4
SEGMENT, PULL_SOME, PULL_ALL, CHANGE, WAIT, ARP, RAW = 0, 8, 9, 12, 13, 14, 15
GET_ROOT, GET_JSON, PUT_TOKEN, GET_TOKEN, PATCH_BODY, TWO_LF, CRLF, FORWARDED, BYTES, LONG, EMPTY = range(11)
IN_ORDER, ONE_BACK, ONE_AHEAD, TEN_BACK = 0, 6, 7, 8
MSS_1460, MSS_1, MSS_0, MSS_SHORT, LOOP_OPTION, CUT_OPTION, NO_OPTIONS = 0, 1, 2, 3, 4, 5, 8


def segment(flags=ACK_PSH, payload=EMPTY, port=0, shift=IN_ORDER, options=NO_OPTIONS, window=1, choice=b''):
    """choice: what the payload asks for besides."""
    body = b'' if flags == SYN else bytes([payload]) + (choice or (b'\1' if payload < BYTES else b''))
    return bytes([SEGMENT, port, flags, shift, options]) + body + bytes([1, window]) + (b'' if window else b'\5') + b'\1'


def opened(port=0, options=MSS_1460):
    return segment(SYN, port=port, options=options) + bytes([PULL_ALL]) + segment(ACK, port=port)


def asked(payload, port=0):
    return segment(payload=payload, port=port) + bytes([PULL_ALL]) + segment(ACK, port=port)


STORE = bytes([CHANGE, 0, 1, 0, 0])
MMDS = {
    'get': STORE + opened() + asked(GET_ROOT) + asked(GET_JSON) + segment(FIN) + bytes([PULL_ALL]) + segment(ACK),
    'token': bytes([CHANGE, 0, 1, 1, 0]) + opened() + asked(PUT_TOKEN) + asked(GET_TOKEN),
    'bodies-and-ends': STORE + opened() + asked(PATCH_BODY) + asked(FORWARDED) + asked(CRLF) + asked(TWO_LF),
    'in-pieces': STORE + opened() + b''.join(
        segment(payload=GET_ROOT, choice=bytes([0, n])) + bytes([PULL_ALL]) for n in (3, 1, 9)) + asked(CRLF),
    'overlapping': STORE + opened() + b''.join(
        segment(payload=GET_ROOT, shift=shift) for shift in (ONE_AHEAD, ONE_BACK, TEN_BACK)) + asked(GET_ROOT),
    'options': b''.join(segment(SYN, port=n, options=n) for n in range(6)) + bytes([PULL_ALL]),
    'window-full': opened() + segment(payload=LONG, choice=b'\xc4\x09') + bytes([PULL_ALL]),
    'beyond-window': opened() + segment(payload=LONG, choice=b'\xc5\x09') + bytes([PULL_ALL]),
    'small-window': STORE + opened(options=MSS_1) + segment(payload=GET_ROOT, window=0) + bytes([PULL_ALL]),
    'lost': STORE + opened() + segment(payload=GET_ROOT) + bytes([PULL_SOME, 1, WAIT, 4, PULL_ALL, WAIT, 255, PULL_ALL]),
    'too-many': b''.join(segment(SYN, port=n) for n in range(40)) + bytes([PULL_ALL, WAIT, 200]) + segment(SYN, port=39),
    'arp-and-raw': bytes([ARP, 1, PULL_ALL, RAW, 40]) + bytes(range(40)) + bytes([1, PULL_ALL]),
}

TARGETS = {'blk': BLK, 'http': HTTP, 'mmds': MMDS, 'vmmio': VMMIO, 'vsock': VSOCK}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for target in sys.argv[1:] or TARGETS:
        folder = os.path.join(here, 'corpus', target)
        os.makedirs(folder, exist_ok=True)
        for name, scene in TARGETS[target].items():
            with open(os.path.join(folder, name), 'wb') as file:
                file.write(scene)


if __name__ == '__main__':
    main()
