package app_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestBindingNeedsHTTPSAndIsExplained(t *testing.T) {
	if status, _, errs := run(t, "", "demo", "--device-bound"); status != 2 || !strings.Contains(errs, "--device-bound needs https") {
		t.Errorf("without https: status %d, %q", status, errs)
	}
	address, stop, out := start(t, "--addr", "localhost:0", "--store", "memory:", "--tls", "--device-bound")
	explained := regexp.MustCompile(`--ignore-certificate-errors-spki-list=[A-Za-z0-9+/]{43}= \\\n\s+` + regexp.QuoteMeta(address))
	for began := time.Now(); !explained.MatchString(out.String()); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("it does not say how to start a browser:\n%s", out)
		}
	}
	if status := stop(); status != 0 {
		t.Errorf("it ends with %d", status)
	}
}
