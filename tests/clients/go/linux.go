// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
)

// Linux as the guest, for a KVM that can run it.
var linuxTests = []test{
	{"life of a Linux guest", testLifeOfLinux},
	{"Linux stopped from outside", testLinuxStopped},
	{"Linux talks by network and vsock", testLinuxTalks},
	{"Linux from a snapshot", testLinuxFromSnapshot},
}

const (
	ready       = "mayfly-init: ready "
	dataSectors = 64
	moreSectors = 128
	quietTime   = time.Second
)

// linux is a VM with Linux on its root drive, one more drive, and a shell that carries out what comes by the console.
type linux struct {
	*vm
	stdin *os.File
	asked int
}

func (s *suite) newLinux(ctx context.Context, dir, rootEngine, dataEngine string) (*linux, error) {
	data := filepath.Join(dir, "data")
	if err := writeImage(data, "first", dataSectors); err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe() // lives as long as this program
	if err != nil {
		return nil, err
	}
	args := kernelArgs + " quiet mayfly.run=sh%20/dev/console"
	v, err := s.newVM(ctx, dir, "vmlinux-tuned", args, reader, []models.Drive{
		drive(filepath.Join(s.guests, "root.ext4"), "root", true, false, rootEngine),
		drive(data, "data", false, false, dataEngine),
	})
	return &linux{vm: v, stdin: writer}, err
}

// ask gives the guest's shell a command; answer waits for what it prints. The sum tells that from the terminal's echo.
func (l *linux) ask(command string) error {
	l.asked++
	_, err := fmt.Fprintf(l.stdin, "echo $((%d+0)):$(%s):end\n", l.asked, command)
	return err
}

func (l *linux) answer(ctx context.Context, text string) error {
	return l.out.waitFor(ctx, fmt.Sprintf("%d:%s:end", l.asked, text))
}

// expectData wants the guest to see a data drive of so many sectors, soon, that begins with the text.
func (l *linux) expectData(ctx context.Context, sectors int, text string) error {
	err := l.ask(fmt.Sprintf("until grep -qx %d /sys/block/vdb/size; do sleep 0.1; done; "+
		"dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | head -c %d", sectors, len(text)))
	if err != nil {
		return err
	}
	return l.answer(ctx, text)
}

// standsStill asks the guest something and wants no byte of it.
func (l *linux) standsStill() error {
	before := l.out.String()
	if err := l.ask("echo awake"); err != nil {
		return err
	}
	time.Sleep(quietTime)
	if after := l.out.String(); after != before {
		return fmt.Errorf("the paused guest wrote %q, expected nothing", strings.TrimPrefix(after, before))
	}
	return nil
}

// expectMetrics wants whole lines of JSON, one at least, in which a counter adds up to what is wanted.
func (l *linux) expectMetrics(group, field string, wanted float64) error {
	text, err := os.ReadFile(l.Cfg.MetricsPath)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		return fmt.Errorf("the metrics %q do not end in a whole line", text)
	}
	sum := 0.0
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for _, line := range lines {
		var groups map[string]json.RawMessage
		var counters map[string]float64
		if err := json.Unmarshal(line, &groups); err != nil {
			return fmt.Errorf("%w in the metrics' line %q", err, line)
		}
		if err := json.Unmarshal(groups[group], &counters); err != nil {
			return fmt.Errorf("%w in %s of the metrics' line %q", err, group, line)
		}
		sum += counters[field]
	}
	if sum != wanted {
		return fmt.Errorf("%s.%s is %g in %d lines of metrics, expected %g", group, field, sum, len(lines), wanted)
	}
	return nil
}

func testLifeOfLinux(ctx context.Context, s *suite, dir string) error {
	l, err := s.newLinux(ctx, dir, models.DriveIoEngineSync, models.DriveIoEngineAsync)
	if err != nil {
		return err
	}
	more := filepath.Join(dir, "more")
	return l.steps(
		func() error { return l.Start(ctx) },
		func() error { return l.out.waitFor(ctx, ready) },
		func() error { return l.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return l.expectData(ctx, dataSectors, "first") },
		func() error { return l.PauseVM(ctx) },
		func() error { return l.expectState(ctx, models.InstanceInfoStatePaused) },
		l.standsStill,
		func() error { return l.ResumeVM(ctx) },
		func() error { return l.answer(ctx, "awake") },
		func() error { return l.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return writeImage(more, "second", moreSectors) },
		func() error { return l.UpdateGuestDrive(ctx, "data", more) },
		func() error { return l.expectData(ctx, moreSectors, "second") },
		func() error { return l.Shutdown(ctx) },
		func() error { return l.Wait(ctx) }, // an error unless the monitor's exit code is 0
		func() error { return l.expectMetrics("i8042", "reset_count", 1) },
		func() error { return l.expectMetrics("patch_api_requests", "drive_count", 1) },
	)
}

func testLinuxStopped(ctx context.Context, s *suite, dir string) error {
	l, err := s.newLinux(ctx, dir, models.DriveIoEngineAsync, models.DriveIoEngineSync)
	if err != nil {
		return err
	}
	return l.steps(
		func() error { return l.Start(ctx) },
		func() error { return l.out.waitFor(ctx, ready) },
		func() error { return l.expectData(ctx, dataSectors, "first") },
		func() error { return l.stop(ctx) },
		func() error { return l.expectMetrics("put_api_requests", "actions_count", 1) },
	)
}
