// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/firecracker-microvm/firecracker-go-sdk/vsock"
)

// Where the lab's case put a TAP, the host's address on it and a program for the guest.
const (
	talkTap     = "tap0"
	talkHost    = "10.0.0.1"
	talkGuest   = "10.0.0.2"
	talkMAC     = "06:00:ac:10:00:02"
	talkPort    = 52
	talkProgram = "vcat"
	talkSocket  = "v.sock"
	talkPing    = "ping -c 1 " + talkHost + " | grep -o '" + talkPong + "'"
	talkPong    = "1 packets received"
)

// newTalker takes options of the SDK; one that loads a snapshot brings the devices with it.
func (s *suite) newTalker(ctx context.Context, dir string, options ...firecracker.Opt) (*linux, error) {
	reader, writer, err := os.Pipe() // lives as long as this program
	if err != nil {
		return nil, err
	}
	args := kernelArgs + " quiet mayfly.run=sh%20/dev/console"
	v, err := s.newVMWith(ctx, dir, "vmlinux-tuned", args, reader, []models.Drive{
		drive(filepath.Join(s.guests, "root.ext4"), "root", true, false, models.DriveIoEngineSync),
		drive(filepath.Join(s.guests, talkProgram), "program", false, true, models.DriveIoEngineSync),
	}, func(config *firecracker.Config) {
		if len(options) > 0 {
			return
		}
		config.NetworkInterfaces = []firecracker.NetworkInterface{{
			StaticConfiguration: &firecracker.StaticNetworkConfiguration{HostDevName: talkTap, MacAddress: talkMAC},
		}}
		config.VsockDevices = []firecracker.VsockDevice{{ID: "talk", Path: filepath.Join(dir, talkSocket), CID: 3}}
	}, options...)
	return &linux{vm: v, stdin: writer}, err
}

// echoes wants back over a stream what it wrote.
func echoes(stream net.Conn, text string) error {
	got := make([]byte, len(text))
	if _, err := io.WriteString(stream, text); err != nil {
		return err
	}
	if _, err := io.ReadFull(stream, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("%q came back, expected %q", got, text)
	}
	return nil
}

func (l *linux) expectEcho(ctx context.Context) error {
	stream, err := vsock.DialContext(ctx, filepath.Join(l.dir, talkSocket), talkPort)
	if err != nil {
		return err
	}
	defer stream.Close()
	return echoes(stream, "hello from the SDK")
}

// expectClosed wants a port where nobody listens to be refused as clients see it: the stream ends before any byte. (The
// SDK's own dial tries until its context ends, whatever it is told.)
func (l *linux) expectClosed(ctx context.Context) error {
	stream, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(l.dir, talkSocket))
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := stream.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stream, "CONNECT %d\n", talkPort+1); err != nil {
		return err
	}
	if answer, err := io.ReadAll(stream); err != nil || len(answer) > 0 {
		return fmt.Errorf("the port %d: got %q, %w, expected the end", talkPort+1, answer, err)
	}
	return nil
}

// joinNetwork wants the guest's own address for its interface and an answer of the host.
func (l *linux) joinNetwork(ctx context.Context) error {
	err := l.ask("cat /sys/class/net/eth0/address; ip addr add " + talkGuest + "/24 dev eth0; ip link set eth0 up; " +
		talkPing)
	if err != nil {
		return err
	}
	return l.answer(ctx, talkMAC+" "+talkPong)
}

// listen starts the guest's echo.
func (l *linux) listen(ctx context.Context) error {
	err := l.ask(fmt.Sprintf("cat /dev/vdb >/vcat; chmod +x /vcat; "+
		"/vcat vsock-listen:%d echo >/dev/null 2>&1 & echo on", talkPort))
	if err != nil {
		return err
	}
	return l.answer(ctx, "on")
}

func testLinuxTalks(ctx context.Context, s *suite, dir string) error {
	l, err := s.newTalker(ctx, dir)
	if err != nil {
		return err
	}
	return l.steps(
		func() error { return l.Start(ctx) },
		func() error { return l.out.waitFor(ctx, ready) },
		func() error { return l.joinNetwork(ctx) },
		func() error { return l.listen(ctx) },
		func() error { return l.expectEcho(ctx) },
		func() error { return l.expectClosed(ctx) },
		func() error { return l.Shutdown(ctx) },
		func() error { return l.Wait(ctx) },
	)
}
