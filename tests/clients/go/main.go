// SPDX-License-Identifier: Apache-2.0

// A client that nobody here wrote, firecracker-go-sdk, drives our monitor: it starts one under the name that the SDK
// expects, configures and watches a VM, pauses, resumes, saves and stops it, and loads what it saved.
//
//	usage: sdk tiny|linux FIRECRACKER GUESTS
//
// FIRECRACKER is the monitor. GUESTS is for tiny the folder of the native tests' guests, for linux one with
// vmlinux-tuned and a root.ext4 that may be written to. Prints a line a test and ends with
// 'N passed, N failed, N skipped'.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const testLimit = 30 * time.Second

type test struct {
	name     string
	function func(context.Context, *suite, string) error
}

// suite is where the tests find things.
type suite struct {
	program string
	guests  string
}

func (s *suite) run(t test) error {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel() // also ends a monitor that a failed test left behind
	dir, err := os.MkdirTemp("", "mayfly-sdk.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = t.function(ctx, s, dir)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		fmt.Printf("not ok %s: %v\nlog:\n%s", t.name, err, log)
		return err
	}
	fmt.Printf("ok %s\n", t.name)
	return nil
}

func main() {
	tests := map[string][]test{"tiny": tinyTests, "linux": linuxTests}
	if len(os.Args) != 4 || tests[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: sdk tiny|linux FIRECRACKER GUESTS")
		os.Exit(2)
	}
	s := &suite{program: os.Args[2], guests: os.Args[3]}
	passed, failed := 0, 0
	for _, t := range tests[os.Args[1]] {
		if s.run(t) == nil {
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
