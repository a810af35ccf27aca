package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// What needs a process of its own, because it measures the memory of all of
// it or must not share its processors, runs in a child: this program again,
// with the name of a job and its arguments, answering in JSON.

const childArgument = "child"

var jobs = map[string]func(args []string) (any, error){
	"flat":  flatJob,
	"scale": scaleJob,
	"serve": serveJob,
}

// runChild does a job in this process and writes its answer.
func runChild(args []string) error {
	job, known := jobs[args[0]]
	if !known {
		return fmt.Errorf("there is no job %q", args[0])
	}
	answer, err := job(args[1:])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

// ask has a child do a job, and reads its answer.
func ask(answer any, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var out, trouble bytes.Buffer
	child := exec.Command(self, append([]string{childArgument}, args...)...)
	child.Stdout, child.Stderr = &out, &trouble
	if err := child.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, trouble.Bytes())
	}
	return json.Unmarshal(out.Bytes(), answer)
}
