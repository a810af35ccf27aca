package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// machine says where and when it was measured, without a name.
func machine() string {
	return fmt.Sprintf("%d cores (%s), %s memory, %s, %s/%s, %s.",
		runtime.NumCPU(), field("/proc/cpuinfo", "model name"), memory(), osName(), runtime.GOOS, runtime.GOARCH,
		runtime.Version()+", "+time.Now().UTC().Format("2006-01-02"))
}

// field returns the first value of a name in a file of "name : value" lines.
func field(file, name string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.SplitSeq(string(content), "\n") {
		if before, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(before) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	var kib int
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
}

func osName() string {
	content, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	for line := range strings.SplitSeq(string(content), "\n") {
		if name, found := strings.CutPrefix(line, "PRETTY_NAME="); found {
			return strings.Trim(name, `"`)
		}
	}
	return runtime.GOOS
}
