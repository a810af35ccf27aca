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
			}
			var length int
			if err == nil {
				length, err = firstAnswers(conn, request)
			}
			ready.Done()
			end := <-begin
			if err == nil {
				answered[i], err = askUntil(end, conn, request, length)
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

// firstAnswers sends the request a few times, and returns how long the last
// answer was.
func firstAnswers(conn net.Conn, request []byte) (length int, err error) {
	in := bufio.NewReader(conn)
	var answer bytes.Buffer
	for range 20 {
		answer.Reset()
		if _, err := conn.Write(request); err != nil {
			return 0, err
		}
		if err := readAnswer(in, &answer); err != nil {
			return 0, err
		}
	}
	return answer.Len(), nil
}

// askUntil sends the request until end. All answers must be as long as the
// first were: so the load costs as little as it can, and the server is what is
// measured.
func askUntil(end time.Time, conn net.Conn, request []byte, length int) (answered int, err error) {
	answer := make([]byte, length)
	for {
		if _, err := conn.Write(request); err != nil {
			return answered, err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return answered, err
		}
		if !bytes.HasPrefix(answer, success) {
			return answered, fmt.Errorf("answered %q", answer)
		}
		if answered++; !time.Now().Before(end) {
			return answered, nil
		}
	}
}

var success = []byte("HTTP/1.1 200")

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
		if first && !bytes.HasPrefix(line, success) {
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
