package app

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

func versionCommand() command {
	return command{
		name: "version", synopsis: "", about: "print the version",
		run: func(_ context.Context, flags *flag.FlagSet, args []string, std streams) error {
			others, err := parse(flags, args)
			if err != nil {
				return err
			}
			if len(others) > 0 {
				return usagef("it takes no arguments, not %q", others[0])
			}
			fmt.Fprintf(std.out, "coatcheck %s, %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// version is that of the module as it was built: a tag for a release.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unreleased)"
	}
	return info.Main.Version
}
