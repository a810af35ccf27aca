package browsertest_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// reports are what a browser says of itself, by what it says it of.
type reports[R any] struct {
	t  *testing.T
	mu sync.Mutex
	of map[string]R
}

func (r *reports[R]) add(of string, what R) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[of] = what
}

// wait waits until there are n reports: they may come after the page.
func (r *reports[R]) wait(n int) map[string]R {
	r.t.Helper()
	var found map[string]R
	eventually(r.t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		found = maps.Clone(r.of)
		return len(found) >= n
	}, func() { r.t.Fatalf("the browser reported %v, want %d of these", found, n) })
	return found
}

// eventually waits for what is not the browser's page to say.
func eventually(t *testing.T, done func() bool, orElse func()) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > stepTime {
			orElse()
			return
		}
	}
}

func (b *tab) listen(hear func(event any)) {
	b.t.Helper()
	ctx, stop := context.WithCancel(b.ctx)
	b.t.Cleanup(stop)
	if err := chromedp.Listen(ctx, hear); err != nil {
		b.t.Fatalf("listen to the browser: %v", err)
	}
}

// refusedCookies begins to note the Set-Cookie lines that the browser refuses,
// and why.
func (b *tab) refusedCookies() *reports[[]network.SetCookieBlockedReason] {
	b.t.Helper()
	refused := &reports[[]network.SetCookieBlockedReason]{t: b.t, of: map[string][]network.SetCookieBlockedReason{}}
	b.listen(func(event any) {
		if answer, ok := event.(*network.EventResponseReceivedExtraInfo); ok {
			for _, blocked := range answer.BlockedCookies {
				refused.add(blocked.CookieLine, blocked.BlockedReasons)
			}
		}
	})
	return refused
}

// withheldCookies begins to note the cookies that the browser has and does not
// send, and why.
func (b *tab) withheldCookies() *reports[[]network.CookieBlockedReason] {
	b.t.Helper()
	withheld := &reports[[]network.CookieBlockedReason]{t: b.t, of: map[string][]network.CookieBlockedReason{}}
	b.listen(func(event any) {
		if asked, ok := event.(*network.EventRequestWillBeSentExtraInfo); ok {
			for _, cookie := range asked.AssociatedCookies {
				if len(cookie.BlockedReasons) > 0 {
					withheld.add(cookie.Cookie.Name, cookie.BlockedReasons)
				}
			}
		}
	})
	return withheld
}

// streamed begins to note the last data of each kind of event that the page
// gets through its stream.
func (b *tab) streamed() *reports[string] {
	b.t.Helper()
	streamed := &reports[string]{t: b.t, of: map[string]string{}}
	b.listen(func(event any) {
		if message, ok := event.(*network.EventEventSourceMessageReceived); ok {
			streamed.add(message.EventName, message.Data)
		}
	})
	return streamed
}
