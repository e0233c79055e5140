// SPDX-License-Identifier: Apache-2.0

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
	apiLevel   = "1.16.1"
	kernelArgs = "console=ttyS0 reboot=k panic=1"
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

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.text.String()
}

func (o *output) waitFor(ctx context.Context, text string) error {
	for !strings.Contains(o.String(), text) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the guest did not write %q", text)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// vm is one machine of the SDK with a directory of its own.
type vm struct {
	*firecracker.Machine
	dir string
	out *output
}

func (s *suite) newVM(ctx context.Context, dir, kernel, args string, stdin io.Reader,
	drives []models.Drive) (*vm, error) {
	return s.newVMWith(ctx, dir, kernel, args, stdin, drives, func(*firecracker.Config) {})
}

// newVMWith lets the caller add to the configuration, and options of the SDK.
func (s *suite) newVMWith(ctx context.Context, dir, kernel, args string, stdin io.Reader, drives []models.Drive,
	add func(*firecracker.Config), options ...firecracker.Opt) (*vm, error) {
	out := &output{}
	config := firecracker.Config{
		SocketPath:      filepath.Join(dir, "api.sock"),
		LogPath:         filepath.Join(dir, "log"),
		LogLevel:        "Debug",
		MetricsPath:     filepath.Join(dir, "metrics"),
		KernelImagePath: filepath.Join(s.guests, kernel),
		KernelArgs:      args,
		Drives:          drives,
		VMID:            "sdk-" + strings.TrimSuffix(kernel, ".elf"),
		MachineCfg: models.MachineConfiguration{
			VcpuCount:  firecracker.Int64(1),
			MemSizeMib: firecracker.Int64(128),
			Smt:        firecracker.Bool(false),
		},
	}
	add(&config)
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
	options = append(options, firecracker.WithProcessRunner(command),
		firecracker.WithLogger(logrus.NewEntry(logger)))
	machine, err := firecracker.NewMachine(ctx, config, options...)
	if err != nil {
		return nil, err
	}
	return &vm{Machine: machine, dir: dir, out: out}, nil
}

// drive describes the image at a path.
func drive(path, id string, root, readOnly bool, engine string) models.Drive {
	return models.Drive{
		DriveID:      firecracker.String(id),
		PathOnHost:   firecracker.String(path),
		IsRootDevice: firecracker.Bool(root),
		IsReadOnly:   firecracker.Bool(readOnly),
		CacheType:    firecracker.String("Writeback"),
		IoEngine:     firecracker.String(engine),
	}
}

// writeImage makes an image of so many sectors that begins with a text.
func writeImage(path, text string, sectors int) error {
	image := make([]byte, sectors*sectorSize)
	copy(image, text)
	return os.WriteFile(path, image, 0o600)
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
func (v *vm) steps(all ...func() error) error {
	for i, step := range all {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w\nconsole:\n%s", i+1, err, v.out)
		}
	}
	return nil
}
