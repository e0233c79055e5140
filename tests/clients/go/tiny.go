// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	"github.com/firecracker-microvm/firecracker-go-sdk/client/models"
)

// The guests of the native tests: a few hundred instructions.
var tinyTests = []test{
	{"life of a VM", testLifeOfVM},
	{"guest that ends", testGuestThatEnds},
	{"errors reach the caller", testErrorsReachTheCaller},
	{"failed start", testFailedStartCanBeRetried},
	{"clones of a VM", testClonesOfVM},
	{"failed load", testFailedLoadEndsTheMonitor},
}

func testLifeOfVM(ctx context.Context, s *suite, dir string) error {
	rootPath, dataPath, grown := filepath.Join(dir, "root"), filepath.Join(dir, "data"), filepath.Join(dir, "grown")
	if err := writeImage(rootPath, "", 2048); err != nil {
		return err
	}
	if err := writeImage(dataPath, "", 64); err != nil {
		return err
	}
	root := drive(rootPath, "root", true, false, models.DriveIoEngineSync)
	data := drive(dataPath, "data", false, true, models.DriveIoEngineAsync)
	limiter := firecracker.NewRateLimiter(
		firecracker.TokenBucketBuilder{}.WithBucketSize(1<<20).WithRefillDuration(time.Second).Build(),
		firecracker.TokenBucketBuilder{}.WithBucketSize(100).WithRefillDuration(time.Second).
			WithInitialSize(10).Build())
	data.RateLimiter = limiter
	v, err := s.newVM(ctx, dir, "halt.elf", kernelArgs, nil, []models.Drive{root, data})
	if err != nil {
		return err
	}
	return v.steps(
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
		func() error { return writeImage(grown, "", 128) },
		func() error { return v.UpdateGuestDrive(ctx, "data", grown) },
		func() error { return v.ResumeVM(ctx) },
		func() error { return v.expectState(ctx, models.InstanceInfoStateRunning) },
		func() error { return v.UpdateGuestDrive(ctx, "root", rootPath) },
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
	v, err := s.newVM(ctx, dir, "echo.elf", kernelArgs, reader, nil)
	if err != nil {
		return err
	}
	return v.steps(
		func() error { return v.Start(ctx) },
		func() error { return v.out.waitFor(ctx, "ready") },
		func() error { _, err := writer.WriteString("hello."); return err },
		func() error { return v.Wait(ctx) },
		func() error { return v.out.waitFor(ctx, "hello.") },
	)
}

func testErrorsReachTheCaller(ctx context.Context, s *suite, dir string) error {
	v, err := s.newVM(ctx, dir, "halt.elf", kernelArgs, nil, nil)
	if err != nil {
		return err
	}
	return v.steps(
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
	v, err := s.newVM(ctx, dir, "halt.elf", kernelArgs, nil, []models.Drive{missing})
	if err != nil {
		return err
	}
	return v.steps(
		func() error { return expectRefusal(v.Start(ctx), "No such file or directory") },
		func() error { return v.expectState(ctx, models.InstanceInfoStateNotStarted) },
		func() error { return v.stop(ctx) },
	)
}
