// Command coatcheck shows what sessions are for, and manages them.
//
//	coatcheck demo        serve a site on which to see what becomes of a session
//	coatcheck sessions    list and end the sessions in a store
//	coatcheck version     print the version
//	coatcheck help        explain a command
//
// Everything it does is in internal/app; begin at `coatcheck help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/coatcheck/coatcheck/cmd/internal/app"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	return app.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
