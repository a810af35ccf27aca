package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// loadServer sends requests over so many connections for about d, each waiting
// for its answer, and returns how many were answered each second.
func loadServer(s server, connections int, d time.Duration) (perSecond float64, err error) {
	answered := make([]int, connections)
	errs := make([]error, connections)
	request := []byte(requestText(s, "/"))
	var ready, all sync.WaitGroup
	ready.Add(connections)
	begin := make(chan time.Time)
	for i := range connections {
		all.Go(func() {
			conn, err := net.Dial("tcp", s.address)
			if err == nil {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(d + time.Minute))
				err = askAgain(conn, request, 20, nil) // warm
			}
			ready.Done()
			end, open := <-begin
			if err == nil && open {
				err = askAgain(conn, request, 0, func() bool { answered[i]++; return time.Now().Before(end) })
			}
			errs[i] = err
		})
	}
	ready.Wait()
	start := time.Now()
	for range connections {
		begin <- start.Add(d)
	}
	all.Wait()
	elapsed := time.Since(start).Seconds()
	total := 0
	for i, n := range answered {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += n
	}
	return float64(total) / elapsed, nil
}

// askAgain sends the request count times, or while more says so.
func askAgain(conn net.Conn, request []byte, count int, more func() bool) error {
	in := bufio.NewReader(conn)
	for n := 0; more != nil || n < count; n++ {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := readAnswer(in, io.Discard); err != nil {
			return err
		}
		if more != nil && !more() {
			return nil
		}
	}
	return nil
}

// readAnswer copies one answer with a Content-Length to w. A status other than
// 200 is an error.
func readAnswer(in *bufio.Reader, w io.Writer) error {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answered %q", line)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return err
			}
		}
	}
	_, err := io.CopyN(w, in, int64(length))
	return err
}
