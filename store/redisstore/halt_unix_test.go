//go:build unix

package redisstore_test

import (
	"os"
	"syscall"
)

// halt stops a process without ending it.
func halt(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// goOn has a process that was stopped go on.
func goOn(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
