package measure

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ProcessorTime is what this process has used so far, in user and system.
func ProcessorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ProcessorTimeOf is the same of another process, in hundredths of a second:
// those of its system, as /proc has them. It is 0 where there is none.
func ProcessorTimeOf(pid int) time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// After the name, which may hold spaces, come the state and ten numbers.
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	var user, system int64
	fmt.Sscan(string(fields[11]), &user)
	fmt.Sscan(string(fields[12]), &system)
	return time.Duration(user+system) * (time.Second / 100)
}
