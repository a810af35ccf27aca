package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// machine says where and when it was measured, without a name.
func machine() string {
	return fmt.Sprintf("%d cores (%s), %s memory, %s, %s/%s, %s.",
		runtime.NumCPU(), field("/proc/cpuinfo", "model name"), memory(), osName(), runtime.GOOS, runtime.GOARCH,
		runtime.Version()+", "+time.Now().UTC().Format("2006-01-02"))
}

// peers are the modules whose versions the results name.
var peers = []string{
	"github.com/alexedwards/scs/v2", "github.com/alexedwards/scs/sqlite3store", "github.com/alexedwards/scs/goredisstore", "github.com/alexedwards/scs/pgxstore",
	"github.com/gorilla/sessions", "github.com/gin-contrib/sessions", "github.com/gofiber/fiber/v3",
	"modernc.org/sqlite", "github.com/mattn/go-sqlite3", "github.com/redis/rueidis", "github.com/redis/go-redis/v9", "github.com/jackc/pgx/v5",
}

// versions says against what it was measured: the modules that are built in,
// and programs that are installed.
func versions(programs ...string) string {
	var all []string
	if built, ok := debug.ReadBuildInfo(); ok {
		for _, m := range built.Deps {
			if slices.Contains(peers, m.Path) {
				all = append(all, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
			}
		}
	}
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if name == "postgres" {
			var dir string
			dir, err = postgresPrograms()
			path = filepath.Join(dir, name)
		}
		if err != nil {
			continue // it takes no part either
		}
		if out, err := exec.Command(path, "--version").Output(); err == nil {
			all = append(all, name+": "+strings.TrimSpace(string(out)))
		}
	}
	return strings.Join(all, ", ") + "."
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
