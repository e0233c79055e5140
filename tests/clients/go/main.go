// SPDX-License-Identifier: Apache-2.0

// A client that nobody here wrote, firecracker-go-sdk, drives our monitor: it starts one under the name that the SDK
// expects, configures and watches a VM, pauses, resumes and stops it.
//
//	usage: sdk FIRECRACKER GUESTS
//
// FIRECRACKER is the monitor, GUESTS the folder of the native tests' guests. Prints a line a test and ends with
// 'N passed, N failed, N skipped'.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/sirupsen/logrus"
)

const (
	testLimit  = 30 * time.Second
	apiLevel   = "1.16.1"
	sectorSize = 512
)

// output is what a guest wrote to its serial console.
type output struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.Write(text)
}

func (o *output) waitFor(ctx context.Context, text string) error {
	for {
		o.mutex.Lock()
		seen := o.text.String()
		o.mutex.Unlock()
		if strings.Contains(seen, text) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the guest wrote %q, not %q", seen, text)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// suite is where the tests find things.
type suite struct {
	program string
	guests  string
}

// vm is one machine of the SDK with a directory of its own.
type vm struct {
	*firecracker.Machine
	dir string
	out *output
}

func (s *suite) newVM(ctx context.Context, dir, guest string, stdin io.Reader, drives []models.Drive) (*vm, error) {
	out := &output{}
	config := firecracker.Config{
		SocketPath:      filepath.Join(dir, "api.sock"),
		LogPath:         filepath.Join(dir, "log"),
		LogLevel:        "Debug",
		MetricsPath:     filepath.Join(dir, "metrics"),
		KernelImagePath: filepath.Join(s.guests, guest+".elf"),
		KernelArgs:      "console=ttyS0 reboot=k panic=1",
		Drives:          drives,
		VMID:            "sdk-" + guest,
		MachineCfg: models.MachineConfiguration{
			VcpuCount:  firecracker.Int64(1),
			MemSizeMib: firecracker.Int64(128),
			Smt:        firecracker.Bool(false),
		},
	}
	// The SDK appends to the files that it is told of, but does not make them.
	for _, path := range []string{config.LogPath, config.MetricsPath} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return nil, err
		}
	}
	command := firecracker.VMCommandBuilder{}.WithBin(s.program).WithSocketPath(config.SocketPath).
		AddArgs("--id", config.VMID).WithStdin(stdin).WithStdout(out).WithStderr(os.Stderr).Build(ctx)
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	machine, err := firecracker.NewMachine(ctx, config, firecracker.WithProcessRunner(command),
		firecracker.WithLogger(logrus.NewEntry(logger)))
	if err != nil {
		return nil, err
	}
	return &vm{Machine: machine, dir: dir, out: out}, nil
}

// disk makes an empty image and describes it.
func disk(dir, id string, root bool, engine string, sectors int64) (models.Drive, error) {
	path := filepath.Join(dir, id)
	err := os.WriteFile(path, make([]byte, sectors*sectorSize), 0o600)
	return models.Drive{
		DriveID:      firecracker.String(id),
		PathOnHost:   firecracker.String(path),
		IsRootDevice: firecracker.Bool(root),
		IsReadOnly:   firecracker.Bool(!root),
		CacheType:    firecracker.String("Writeback"),
		IoEngine:     firecracker.String(engine),
	}, err
}

func (v *vm) expectState(ctx context.Context, wanted string) error {
	info, err := v.DescribeInstanceInfo(ctx)
	if err != nil {
		return err
	}
	if *info.State != wanted || *info.ID != v.Cfg.VMID || *info.VmmVersion != apiLevel ||
		*info.AppName != "Firecracker" {
		return fmt.Errorf("state %s of %s (%s %s), expected %s", *info.State, *info.ID, *info.AppName,
			*info.VmmVersion, wanted)
	}
	return nil
}

// expectRefusal wants an error of the API, decoded by the SDK, with the text in it.
func expectRefusal(err error, text string) error {
	if err == nil || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("the answer was %v, expected ...%s...", err, text)
	}
	return nil
}

// stop ends the monitor as the SDK does, by SIGTERM.
func (v *vm) stop(ctx context.Context) error {
	if err := v.StopVMM(); err != nil {
		return err
	}
	err := v.Wait(ctx)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		return fmt.Errorf("the monitor's end was %v, expected that by SIGTERM", err)
	}
	if _, err := os.Stat(v.Cfg.SocketPath); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the SDK did not clean up its socket: %v", err)
	}
	return nil
}

// steps calls each function until one fails.
func steps(all ...func() error) error {
	for i, step := range all {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func testLifeOfVM(ctx context.Context, s *suite, dir string) error {
	root, err := disk(dir, "root", true, models.DriveIoEngineSync, 2048)
	if err != nil {
		return err
	}
	data, err := disk(dir, "data", false, models.DriveIoEngineAsync, 64)
	if err != nil {
		return err
	}
	limiter := firecracker.NewRateLimiter(
		firecracker.TokenBucketBuilder{}.WithBucketSize(1<<20).WithRefillDuration(time.Second).Build(),
		firecracker.TokenBucketBuilder{}.WithBucketSize(100).WithRefillDuration(time.Second).
			WithInitialSize(10).Build())
	data.RateLimiter = limiter
	v, err := s.newVM(ctx, dir, "halt", nil, []models.Drive{root, data})
	if err != nil {
		return err
	}
	grown := filepath.Join(dir, "grown")
	return steps(
		func() error { return v.Start(ctx) },
		func() error { return v.out.waitFor(ctx, "halted") },
		func() error { return v.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error {
			version, err := v.GetFirecrackerVersion(ctx)
			if err == nil && version != apiLevel {
				err = fmt.Errorf("version %s, expected %s", version, apiLevel)
			}
			return err
		},
		func() error { return v.PauseVM(ctx) },
		func() error { return v.expectState(ctx, models.InstanceInfoStatePaused) },
		func() error { return v.PauseVM(ctx) }, // again: no error
		func() error { return os.WriteFile(grown, make([]byte, 128*sectorSize), 0o600) },
		func() error { return v.UpdateGuestDrive(ctx, "data", grown) },
		func() error { return v.ResumeVM(ctx) },
		func() error { return v.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return v.UpdateGuestDrive(ctx, "root", *root.PathOnHost) },
		func() error { return v.Shutdown(ctx) }, // the guest does not look at its keyboard
		func() error { return v.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return v.stop(ctx) },
	)
}

func testGuestThatEnds(ctx context.Context, s *suite, dir string) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	defer writer.Close()
	v, err := s.newVM(ctx, dir, "echo", reader, nil)
	if err != nil {
		return err
	}
	return steps(
		func() error { return v.Start(ctx) },
		func() error { return v.out.waitFor(ctx, "ready") },
		func() error { _, err := writer.WriteString("hello."); return err },
		func() error { return v.Wait(ctx) },
		func() error { return v.out.waitFor(ctx, "hello.") },
	)
}

func testErrorsReachTheCaller(ctx context.Context, s *suite, dir string) error {
	v, err := s.newVM(ctx, dir, "halt", nil, nil)
	if err != nil {
		return err
	}
	return steps(
		func() error { return v.Start(ctx) },
		func() error {
			return expectRefusal(v.UpdateGuestDrive(ctx, "none", "nowhere"), "Device not found")
		},
		func() error {
			return expectRefusal(v.CreateBalloon(ctx, 1, false, 0),
				"not supported after starting the microVM")
		},
		func() error { return v.stop(ctx) },
	)
}

func testFailedStartCanBeRetried(ctx context.Context, s *suite, dir string) error {
	missing := models.Drive{
		DriveID:      firecracker.String("late"),
		PathOnHost:   firecracker.String(filepath.Join(dir, "late")),
		IsRootDevice: firecracker.Bool(false),
		IsReadOnly:   firecracker.Bool(true),
	}
	v, err := s.newVM(ctx, dir, "halt", nil, []models.Drive{missing})
	if err != nil {
		return err
	}
	return steps(
		func() error { return expectRefusal(v.Start(ctx), "No such file or directory") },
		func() error { return v.expectState(ctx, models.InstanceInfoStateNotStarted) },
		func() error { return v.stop(ctx) },
	)
}

func (s *suite) run(name string, test func(context.Context, *suite, string) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel() // also ends a monitor that a failed test left behind
	dir, err := os.MkdirTemp("", "mayfly-sdk.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = test(ctx, s, dir)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		fmt.Printf("not ok %s: %v\n%s", name, err, log)
		return err
	}
	fmt.Printf("ok %s\n", name)
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sdk FIRECRACKER GUESTS")
		os.Exit(2)
	}
	s := &suite{program: os.Args[1], guests: os.Args[2]}
	passed, failed := 0, 0
	for _, test := range []struct {
		name     string
		function func(context.Context, *suite, string) error
	}{
		{"life of a VM", testLifeOfVM},
		{"guest that ends", testGuestThatEnds},
		{"errors reach the caller", testErrorsReachTheCaller},
		{"failed start", testFailedStartCanBeRetried},
	} {
		if s.run(test.name, test.function) == nil {
			passed++
		} else {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed, 0 skipped\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
