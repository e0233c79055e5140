// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/operations"
)

// Where a VM's files are, in its directory.
const (
	stateName  = "state"
	memoryName = "memory"
)

var numberLine = regexp.MustCompile(`(?m)^([0-9a-f]{8}) ?\r?\n`)

// numbers is what the guest of that name has counted so far.
func (v *vm) numbers() []uint64 {
	var all []uint64
	for _, line := range numberLine.FindAllStringSubmatch(v.out.String(), -1) {
		number, _ := strconv.ParseUint(line[1], 16, 32) // eight digits
		all = append(all, number)
	}
	return all
}

// expectNumbers waits until the guest has counted so much.
func (v *vm) expectNumbers(ctx context.Context, count int) error {
	for len(v.numbers()) < count {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the guest wrote %d numbers, expected %d", len(v.numbers()), count)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// lastNumber is what a paused guest has got to; what it wrote may still be on its way through the pipe.
func (v *vm) lastNumber() uint64 {
	for {
		seen := v.numbers()
		time.Sleep(100 * time.Millisecond)
		if len(seen) == len(v.numbers()) {
			return seen[len(seen)-1]
		}
	}
}

func (v *vm) save(ctx context.Context, options ...firecracker.CreateSnapshotOpt) error {
	return v.CreateSnapshot(ctx, filepath.Join(v.dir, memoryName), filepath.Join(v.dir, stateName), options...)
}

func asDiff(params *operations.CreateSnapshotParams) {
	params.Body.SnapshotType = models.SnapshotCreateParamsSnapshotTypeDiff
}

// cloneOf is a machine that loads what was saved of the other; the configuration is only the SDK's.
func (s *suite) cloneOf(ctx context.Context, origin *vm, name string,
	options ...firecracker.WithSnapshotOpt) (*vm, error) {
	dir := filepath.Join(origin.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return s.newVMWith(ctx, dir, "numbers.elf", kernelArgs, nil, origin.Cfg.Drives, func(*firecracker.Config) {},
		firecracker.WithSnapshot(filepath.Join(origin.dir, memoryName), filepath.Join(origin.dir, stateName),
			options...))
}

// expectGoesOn wants a clone to count on where its origin, which has stood still since, had got to.
func expectGoesOn(ctx context.Context, clone *vm, last uint64) error {
	if err := clone.expectNumbers(ctx, 3); err != nil {
		return err
	}
	if first := clone.numbers()[0]; first != last+1 && first != last+2 { // the next line may have been begun
		return fmt.Errorf("the clone's first number is %#x, expected %#x or the next", first, last+1)
	}
	return nil
}

func testClonesOfVM(ctx context.Context, s *suite, dir string) error {
	data := filepath.Join(dir, "data")
	if err := writeImage(data, "", 64); err != nil {
		return err
	}
	v, err := s.newVM(ctx, dir, "numbers.elf", kernelArgs, nil,
		[]models.Drive{drive(data, "data", false, false, models.DriveIoEngineSync)})
	if err != nil {
		return err
	}
	var last uint64
	var paused, running *vm
	runs := func(config *firecracker.SnapshotConfig) { config.ResumeVM, config.EnableDiffSnapshots = true, true }
	return v.steps(
		func() error { return v.Start(ctx) },
		func() error { return v.expectNumbers(ctx, 3) },
		func() error { return expectRefusal(v.save(ctx), "save/restore unavailable while running") },
		func() error { return v.PauseVM(ctx) },
		func() error { return v.save(ctx) },
		func() error { return v.expectState(ctx, models.InstanceInfoStatePaused) },
		func() error { last = v.lastNumber(); return nil },
		func() (err error) { paused, err = s.cloneOf(ctx, v, "paused"); return err },
		func() error { return paused.Start(ctx) },
		func() error { return paused.expectState(ctx, models.InstanceInfoStatePaused) },
		func() error { return paused.ResumeVM(ctx) },
		func() error { return paused.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return expectGoesOn(ctx, paused, last) },
		func() (err error) { running, err = s.cloneOf(ctx, v, "running", runs); return err },
		func() error { return running.Start(ctx) },
		func() error { return running.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return expectGoesOn(ctx, running, last) },
		func() error { return running.UpdateGuestDrive(ctx, "data", data) },
		func() error { return running.PauseVM(ctx) },
		func() error { return running.save(ctx, asDiff) },
		func() error { return running.stop(ctx) },
		func() error { return paused.stop(ctx) },
		func() error { return v.ResumeVM(ctx) },
		func() error { return v.expectNumbers(ctx, int(last)+3) },
		func() error { return v.stop(ctx) },
	)
}

func testFailedLoadEndsTheMonitor(ctx context.Context, s *suite, dir string) error {
	for _, name := range []string{stateName, memoryName} {
		if err := writeImage(filepath.Join(dir, name), "no snapshot", 1); err != nil {
			return err
		}
	}
	v, err := s.cloneOf(ctx, &vm{Machine: &firecracker.Machine{}, dir: dir}, "clone")
	if err != nil {
		return err
	}
	return v.steps(
		func() error {
			return expectRefusal(v.Start(ctx), "Load snapshot error: Failed to restore from snapshot: ")
		},
		func() error {
			err := v.Wait(ctx)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				return fmt.Errorf("the monitor's end was %v, expected status 1", err)
			}
			return nil
		},
	)
}

// testLinuxFromSnapshot: network, vsock, disk and what programs know go on in a process that was told nothing of them.
func testLinuxFromSnapshot(ctx context.Context, s *suite, dir string) error {
	origin, err := s.newTalker(ctx, dir)
	if err != nil {
		return err
	}
	err = origin.steps(
		func() error { return origin.Start(ctx) },
		func() error { return origin.out.waitFor(ctx, ready) },
		func() error { return origin.joinNetwork(ctx) },
		func() error { return origin.listen(ctx) },
		func() error { return origin.ask("echo remembered >/note; echo noted") },
		func() error { return origin.answer(ctx, "noted") },
		func() error { return origin.PauseVM(ctx) },
		func() error { return origin.save(ctx) },
		func() error { return origin.stop(ctx) },
		func() error { return os.Remove(filepath.Join(dir, talkSocket)) }, // nobody else does
	)
	if err != nil {
		return err
	}
	clone, err := s.newTalker(ctx, dir,
		firecracker.WithSnapshot(filepath.Join(dir, memoryName), filepath.Join(dir, stateName)))
	if err != nil {
		return err
	}
	return clone.steps(
		func() error { return clone.Start(ctx) },
		func() error { return clone.expectState(ctx, models.InstanceInfoStatePaused) },
		func() error { return clone.ResumeVM(ctx) },
		func() error { return clone.expectEcho(ctx) },
		func() error { return clone.ask("cat /note; " + talkPing) },
		func() error { return clone.answer(ctx, "remembered "+talkPong) },
		func() error { return clone.Shutdown(ctx) },
		func() error { return clone.Wait(ctx) },
		func() error { return clone.expectMetrics("put_api_requests", "actions_count", 1) },
	)
}
