package browsertest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	mostTime  = 3 * time.Minute // of one test, on a slow machine
	stepTime  = time.Minute     // of one thing done in a tab
	closeTime = 30 * time.Second
)

// chromium is a browser with its profile. Its profile outlives it: a test may
// close the browser and open it again.
type chromium struct {
	t       *testing.T
	site    *site
	program string
	profile string
	ctx     context.Context // of the first tab, which holds the process; nil: it does not run
	release context.CancelFunc
}

// openChromium starts a browser with a new profile, which knows the names of
// the site and nothing else of the world. Flags are name=value or name.
func openChromium(t *testing.T, s *site, flags ...string) *chromium {
	t.Helper()
	c := &chromium{t: t, site: s, program: findChromium(t)}
	var err error
	if c.profile, err = os.MkdirTemp("", "coatcheck-browsertest-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.discard)
	c.start(flags...)
	return c
}

func findChromium(t *testing.T) string {
	t.Helper()
	required := os.Getenv("COATCHECK_REQUIRE_ALL") == "1"
	if testing.Short() && !required {
		t.Skip("a browser takes its time")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const absent = "no chromium, chromium-browser or google-chrome is installed"
	if required {
		t.Fatal(absent)
	}
	t.Skip(absent)
	return ""
}

func (c *chromium) start(flags ...string) {
	c.t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(c.program),
		chromedp.UserDataDir(c.profile),
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("enable-automation", false), // it would disable features that people have
		// Nothing is asked of the world, and http:// stays what a test wrote.
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-features", "Translate,HttpsUpgrades,HttpsFirstBalancedMode,HttpsFirstBalancedModeAutoEnable,OptimizationHints,MediaRouter"),
		// Trust the certificate of the test by its key.
		chromedp.Flag("ignore-certificate-errors-spki-list", c.site.key),
		chromedp.WindowSize(1280, 900),
	)
	for _, flag := range flags {
		name, value, valued := strings.Cut(flag, "=")
		if valued {
			options = append(options, chromedp.Flag(name, value))
		} else {
			options = append(options, chromedp.Flag(name, true))
		}
	}
	bounded, cancelTime := context.WithTimeout(context.Background(), mostTime)
	allocator, cancelAllocator := chromedp.NewExecAllocator(bounded, options...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithLogf(c.t.Logf), chromedp.WithErrorf(func(string, ...any) {}))
	c.ctx, c.release = ctx, func() { cancel(); cancelAllocator(); cancelTime() }
	if err := chromedp.Do(ctx); err != nil {
		c.t.Fatalf("start %s: %v", c.program, err)
	}
}

// close ends the browser as a person does who closes its last window: it stores
// what it stores then.
func (c *chromium) close() {
	c.t.Helper()
	defer c.release()
	ctx, cancel := context.WithTimeout(c.ctx, closeTime)
	defer cancel()
	c.ctx = nil
	if err := chromedp.Cancel(ctx); err != nil {
		c.t.Errorf("close the browser: %v", err)
	}
}

// reopen starts the browser again with the profile that it had.
func (c *chromium) reopen(flags ...string) {
	c.t.Helper()
	c.start(flags...)
}

// discard ends the browser, if it runs, and deletes its profile.
func (c *chromium) discard() {
	if c.ctx != nil {
		c.close()
	}
	// The last children of the browser may still be writing for a moment.
	var err error
	for range 50 {
		if err = os.RemoveAll(c.profile); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Errorf("the browser's profile stays: %v", err)
}

// tab opens a tab of the browser.
func (c *chromium) tab(t *testing.T) *tab {
	t.Helper()
	return c.newTab(t)
}

// elsewhere opens a tab with cookies of its own: another browser, as far as
// the site can tell.
func (c *chromium) elsewhere(t *testing.T) *tab {
	t.Helper()
	return c.newTab(t, chromedp.WithNewBrowserContext())
}

func (c *chromium) newTab(t *testing.T, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, options...)
	t.Cleanup(cancel)
	b := &tab{t: t, site: c.site, ctx: ctx}
	b.do("open a tab")
	return b
}
