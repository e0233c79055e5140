#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The metadata service as a Linux guest with two NICs sees it: version 1 by address, path and Accept, a change by PATCH, a large
# document, connections at once; version 2 with tokens of both names, an address of its own and imds_compat. Nothing reaches the TAP.
# shellcheck disable=SC2016 # what the guest is told is expanded there
set -euo pipefail
# shellcheck source=tests/lab/net.bash
source tests/lab/net.bash

what=mmds
functions='get() { wget -qO- "$@"; status=$?; echo; return $status; };
ask() { printf "$1 HTTP/1.1\r\n$2\r\n" | nc "$address" 80; echo; };
token() { ask "PUT /latest/api/token" "$1-ttl-seconds: $2\r\n" | tail -n 1; }'

# said_line LINE: the guest wrote it, and nothing beside it in that line.
said_line() {
    tr -d '\r' <"$dir/said" | grep -aqxF -- "$1" || fail "$what: expected '$1'" "$dir/said"
}

# start ADDRESS FIELDS: a VM whose second NIC has the service.
start() {
    address=$1
    rm -f "$sock" "$dir/in" "$dir/metrics"
    serve ip netns exec mayfly "$mayfly" --mmds-size-limit 200000 --http-api-max-payload-size 200000
    # shellcheck disable=SC2119 # it takes none
    put_guest
    api PUT /network-interfaces/eth0 '{"iface_id":"eth0","host_dev_name":"tap0","guest_mac":"06:00:ac:10:00:02"}'
    api PUT /network-interfaces/eth1 '{"iface_id":"eth1","host_dev_name":"tap1","guest_mac":"06:00:ac:10:00:03"}'
    api PUT /mmds/config "{\"network_interfaces\":[\"eth1\"],\"ipv4_address\":\"$address\",$2}"
    api PUT /mmds '{"latest":{"meta-data":{"ami-id":"ami-1","hostname":"one","tags":{"role":"web"},"count":7,"ids":["i-0","i-1"]},"user-data":"#!/bin/sh\necho hello"}}'
    start_guest
    guest "${functions//$'\n'/ }"
    guest 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6' # it would ask for routers
    guest "address=$address; root=http://$address; ip link set eth1 up && ip addr add 10.0.1.2/24 dev eth1 && ip route add $address dev eth1"
}

stop() {
    stop_guest
    exec 3>&-
    expect_zero net_eth1 tx_malformed_frames tx_spoofed_mac_count event_fails activate_fails
    expect_zero mmds rx_accepted_err rx_accepted_unusual rx_bad_eth tx_errors
    made=$(metric_sum "$dir/metrics" mmds connections_created)
    gone=$(metric_sum "$dir/metrics" mmds connections_destroyed)
    ((made > 5 && made == gone)) || fail "end: $made connections were made, $gone destroyed" "$out"
}

add_netns mayfly
for tap in tap0 tap1; do
    in_netns ip tuntap add $tap mode tap
    in_netns ip link set $tap up
done

start 169.254.169.254 '"version":"V1"'
what='IMDS text'
guest 'get $root/'
said_line latest/
guest 'get $root/latest/meta-data/'
for key in ami-id count hostname ids tags/; do
    said_line "$key"
done
guest 'get $root/latest//meta-data/hostname; get $root/latest/meta-data/ids/1; get $root/latest/user-data'
said_line one
said_line i-1
said_line '#!/bin/sh'
said_line 'echo hello'
what=JSON
guest 'get --header "Accept: application/json" $root/latest/meta-data/tags'
said_line '{"role":"web"}'
what=refusals
guest 'ask "GET /latest/meta-data/count"'
said_line 'HTTP/1.1 501 '
said_line 'Cannot retrieve value. The value has an unsupported type.'
guest 'ask "GET /nothing/"'
said_line 'HTTP/1.1 404 '
said_line 'Resource not found: /nothing/.'
guest 'ask "DELETE /latest"'
said_line 'HTTP/1.1 405 '
said_line 'Allow: GET, PUT'
what=PATCH
api PATCH /mmds '{"latest":{"meta-data":{"hostname":"two","tags":null}}}'
guest 'get $root/latest/meta-data/hostname; get $root/latest/meta-data/ | tail -n 1'
said_line two
said_line ids
what='large document'
large=$(head -c 75000 /dev/urandom | base64 -w 0)
read -r sum _ < <(printf %s "$large" | md5sum)
printf '{"large":"%s"}' "$large" >"$dir/large"
api PATCH /mmds "@$dir/large"
guest 'wget -qO- $root/large | md5sum'
said_line "$sum  -"
what='20 at once'
guest 'for i in $(seq 20); do wget -qO- $root/large | md5sum & done; wait'
[[ $(grep -acF "$sum" "$dir/said") == 20 ]] || fail "$what: expected 20 right checksums" "$dir/said"
what='one connection, several requests'
guest 'printf "GET /latest/meta-data/hostname HTTP/1.1\r\n\r\nGET /latest/meta-data/ami-id HTTP/1.1\r\n\r\n" | nc $address 80; echo'
grep -aqF twoHTTP/1.1 "$dir/said" || fail "$what: expected both answers" "$dir/said"
said_line ami-1
what='while paused'
api PATCH /vm '{"state":"Paused"}'
api PATCH /mmds '{"latest":{"meta-data":{"hostname":"three"}}}'
api PATCH /vm '{"state":"Resumed"}'
guest 'get $root/latest/meta-data/hostname'
said_line three
what='driver bound anew'
guest 'cd /sys/bus/virtio/drivers/virtio_net; d=$(basename $(readlink /sys/class/net/eth1/device)); echo $d >unbind; echo $d >bind; cd /; ip link set eth1 up; ip addr add 10.0.1.2/24 dev eth1; ip route add $address dev eth1; get $root/latest/meta-data/hostname'
said_line three
what='the TAP'
seen=$(in_netns cat /sys/class/net/tap1/statistics/rx_packets)
[[ $seen == 0 ]] || fail "$what: $seen frames reached it, expected none" "$out"
in_netns ip link del tap1
guest 'get $root/latest/meta-data/hostname'
said_line three
stop

in_netns ip tuntap add tap1 mode tap
in_netns ip link set tap1 up
start 169.254.7.9 '"version":"V2","imds_compat":true'
what='version 2'
guest 'ask "GET /latest/meta-data/hostname"'
said_line 'HTTP/1.1 401 '
guest 't=$(token X-metadata-token 60); get --header "X-metadata-token: $t" $root/latest/meta-data/hostname'
said_line one
guest 't=$(token x-aws-ec2-metadata-token 60); get --header "X-aws-ec2-metadata-token: $t" $root/latest/meta-data/ami-id'
said_line ami-1
guest 'ask "GET /" "X-metadata-token: $t\r\nAccept: application/json\r\n"'
said_line 'Content-Type: application/json'
said_line latest/
guest 't=$(token X-metadata-token 1); sleep 2; ask "GET /" "X-metadata-token: $t\r\n"'
said_line 'HTTP/1.1 401 '
said_line 'MMDS token not valid.'
guest 'ask "PUT /latest/api/token" "X-metadata-token-ttl-seconds: 0\r\n"'
said_line 'HTTP/1.1 400 '
said_line 'Invalid time to live value provided for token: 0. Please provide a value between 1 and 21600.'
guest 'ask "PUT /latest/api/token" "X-metadata-token-ttl-seconds: 60\r\nX-Forwarded-For: a\r\n"'
said_line 'Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For'
what='another address'
guest 'ip route add 169.254.169.254 dev eth1; ! nc -w 2 169.254.169.254 80 </dev/null'
stop
