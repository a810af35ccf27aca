package app

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coatcheck/coatcheck/cmd/internal/demo"
	"github.com/coatcheck/coatcheck/cmd/internal/demo/house"
	"github.com/coatcheck/coatcheck/cmd/internal/stores"
)

const (
	defaultAddress = "localhost:8080"
	portsToTry     = 20
	shutdownTime   = 5 * time.Second
)

// demoFlags are what the demo can be told.
type demoFlags struct {
	addr, store   string
	cert, key     string
	selfSigned    bool
	deviceBound   bool
	addressChosen bool
}

func demoCommand() command {
	return command{
		name: "demo", synopsis: "[--addr HOST:PORT] [--store STORE] [--tls] [--device-bound]",
		about: "serve a site on which to see what becomes of a session",
		more:  "STORE is one of\n\n" + stores.Forms() + "\nCtrl-C stops it.",
		run:   runDemo,
	}
}

func runDemo(ctx context.Context, flags *flag.FlagSet, args []string, std streams) error {
	var f demoFlags
	flags.StringVar(&f.addr, "addr", defaultAddress, "listen at `HOST:PORT`")
	flags.StringVar(&f.store, "store", "", "keep the sessions in `STORE`; without it in a SQLite file in the user's cache directory")
	flags.BoolVar(&f.selfSigned, "tls", false, "serve https with a certificate made for the occasion, which browsers warn about")
	flags.StringVar(&f.cert, "tls-cert", "", "serve https with the certificate in `FILE`")
	flags.StringVar(&f.key, "tls-key", "", "the certificate's key in `FILE`")
	flags.BoolVar(&f.deviceBound, "device-bound", false, "bind sessions to the devices of browsers that can; needs --tls or a certificate")
	others, err := parse(flags, args)
	switch {
	case err != nil:
		return err
	case f.deviceBound && !f.selfSigned && f.cert == "":
		return usagef("--device-bound needs https: give --tls-cert and --tls-key of a certificate that the browser trusts, or --tls and start the browser as it then says")
	case len(others) > 0:
		return usagef("it takes flags only, not %q", others[0])
	case (f.cert == "") != (f.key == ""):
		return usagef("give both --tls-cert and --tls-key, or neither")
	case f.selfSigned && f.cert != "":
		return usagef("give --tls, which makes a certificate, or --tls-cert and --tls-key of one that there is, not both")
	}
	flags.Visit(func(set *flag.Flag) { f.addressChosen = f.addressChosen || set.Name == "addr" })
	return f.serve(ctx, std)
}

func (f demoFlags) serve(ctx context.Context, std streams) (err error) {
	secure, err := f.tls()
	if err != nil {
		return err
	}
	kept, where, err := openFor(ctx, f.store)
	if errors.Is(err, stores.ErrForm) {
		return usagef("%v", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	listener, err := f.listen(ctx)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(std.err, nil))
	site, err := demo.New(demo.Options{Store: kept, Logger: logger, DeviceBound: f.deviceBound})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{
		Handler:           site,
		TLSConfig:         secure,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // streams move their own deadline
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // what browsers do to connections
	}
	server.RegisterOnShutdown(site.Close)
	address := addressOf(f.addr, listener, secure != nil)
	greet(std.out, address, where)
	switch {
	case f.cert != "":
	case f.deviceBound:
		tellHowToBind(std.out, address, secure.Certificates[0])
	case f.selfSigned:
		fmt.Fprint(std.out, "\nNobody has signed its certificate, so browsers warn. Go on all the same.\n")
	}
	return serveUntil(ctx, server, listener, std.out)
}

// serveUntil serves until the context ends, then lets what is under way finish.
func serveUntil(ctx context.Context, server *http.Server, listener net.Listener, out io.Writer) error {
	failed := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	fmt.Fprintln(out, "\nClosing.")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), server.Close())
	}
	return nil
}

// listen takes the address. When none was chosen and the usual port is taken,
// the next free one does.
func (f demoFlags) listen(ctx context.Context) (net.Listener, error) {
	host, port, err := net.SplitHostPort(f.addr)
	if err != nil {
		return nil, usagef("--addr %q is not HOST:PORT, such as %s", f.addr, defaultAddress)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, usagef("--addr %q: the port is a number up to 65535", f.addr)
	}
	var config net.ListenConfig
	for next := first; ; next++ {
		listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.FormatUint(next, 10)))
		switch {
		case err == nil:
			return listener, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return nil, fmt.Errorf("listen at %s: %w", f.addr, err)
		case f.addressChosen:
			return nil, fmt.Errorf("port %s is taken by another program: stop that, or choose another port, as in --addr %s", port, net.JoinHostPort(host, strconv.FormatUint(first+1, 10)))
		case next == first+portsToTry:
			return nil, fmt.Errorf("the ports %d to %d are all taken: choose one, as in --addr localhost:9000", first, next)
		}
	}
}

// addressOf is where a browser finds the listener: under the name that was
// asked for, because a cookie belongs to a name.
func addressOf(asked string, listener net.Listener, secure bool) string {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	host, _, _ := net.SplitHostPort(asked)
	if unspecified := net.ParseIP(host); host == "" || unspecified != nil && unspecified.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}

func greet(out io.Writer, address, where string) {
	var text strings.Builder
	fmt.Fprintf(&text, "\nThe Coat Check is open at\n\n    %s\n\nOpen it in a browser, follow the six steps on the first page, and keep an\neye on “What happened”. To sign in:\n\n", address)
	for _, guest := range house.Guests() {
		fmt.Fprintf(&text, "    %-8s %s\n", guest.Name, guest.Password)
	}
	fmt.Fprintf(&text, "\n%s\nCtrl-C closes it.\n", where)
	fmt.Fprint(out, text.String())
}

// tls is the configuration for https, or nil for http.
func (f demoFlags) tls() (*tls.Config, error) {
	switch {
	case f.cert != "":
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
	case f.selfSigned:
		host, _, _ := net.SplitHostPort(f.addr)
		pair, err := selfSigned(host)
		if err != nil {
			return nil, fmt.Errorf("make a certificate: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
	}
	return nil, nil
}
