//go:build unix

package sqlitestore_test

import (
	"os/signal"
	"syscall"
	"testing"
)

func needsUnix(*testing.T) {}

const nobody = 65534

// giveUpRoot makes this process nobody's.
func giveUpRoot() error { return syscall.Setuid(nobody) }

// limitFiles has the system refuse to make a file larger than largestFile,
// until lift.
func limitFiles() (lift func() error, err error) {
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return nil, err
	}
	limited := before
	limited.Cur = largestFile // of a type that differs between systems
	return func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) },
		syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited)
}
