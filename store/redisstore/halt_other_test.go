//go:build !unix

package redisstore_test

import (
	"errors"
	"os"
)

func halt(*os.Process) error { return errors.ErrUnsupported }
func goOn(*os.Process) error { return errors.ErrUnsupported }
