//go:build !unix

package everystore_test

import "os/exec"

func giveAway(string) error { return nil }
func giveUpRoot(*exec.Cmd)  {}
