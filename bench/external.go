package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// startRedis starts a server on loopback that keeps nothing on disk.
func startRedis(dir string) (address string, stop func(), err error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, fmt.Errorf("redis-server %w", errMissing)
	}
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	server := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no")
	address = "127.0.0.1:" + port
	stop, err = startServer(server, address, os.Kill)
	return address, stop, err
}

// startPostgres starts a server on loopback with its own defaults: it syncs.
func startPostgres() (dsn string, stop func(), err error) {
	programs, err := postgresPrograms()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "bench-postgres")
	if err != nil {
		return "", nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	port, err := freePort()
	if err != nil {
		return "", remove, err
	}
	who, err := notRoot(dir)
	if err != nil {
		return "", remove, err
	}
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(programs, name), args...)
		c.Dir, c.SysProcAttr = dir, who
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "--pgdata", data, "--username", "bench", "--auth", "trust", "--no-locale", "--encoding", "UTF8").CombinedOutput(); err != nil {
		return "", remove, fmt.Errorf("initdb: %w: %s", err, out)
	}
	server := command("postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	end, err := startServer(server, "127.0.0.1:"+port, syscall.SIGINT)
	if err != nil {
		return "", remove, err
	}
	return "postgres://bench@127.0.0.1:" + port + "/postgres?sslmode=disable&pool_max_conns=16", func() { end(); remove() }, nil
}

func postgresPrograms() (string, error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("postgres %w", errMissing)
	}
	return filepath.Dir(path), nil
}

// notRoot gives a directory to the user that PostgreSQL, which refuses to run
// as root, is to run as: nobody else, if this is not root.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// startServer starts a process and waits until it accepts connections. stop
// ends it by that signal, and waits.
func startServer(c *exec.Cmd, address string, how os.Signal) (stop func(), err error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = c.Process.Signal(how) // it may have ended
		_ = c.Wait()
	}
	for range 600 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return stop, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("%s does not answer at %s", c.Path, address)
}
