package demo_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// listen opens the stream of a browser and returns its lines, closed at its end.
func (b *browser) listen() <-chan string {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", b.site.url+"/live", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("the stream is answered %d", answer.StatusCode)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(answer.Body); text.Scan(); {
			if text.Text() != "" {
				lines <- text.Text()
			}
		}
	}()
	return lines
}

func want(t *testing.T, lines <-chan string, wanted ...string) {
	t.Helper()
	for _, text := range wanted {
		select {
		case line, open := <-lines:
			if !open || !strings.HasPrefix(line, text) {
				t.Fatalf("the stream says %q (open: %v), want %q", line, open, text)
			}
		case <-time.After(time.Minute):
			t.Fatalf("the stream does not say %q", text)
		}
	}
}

func wantEnd(t *testing.T, lines <-chan string) {
	t.Helper()
	select {
	case line, open := <-lines:
		if open {
			t.Fatalf("the stream goes on with %q", line)
		}
	case <-time.After(time.Minute):
		t.Fatal("the stream does not end")
	}
}

func TestAnOpenPageLearnsThatItsSessionWasEnded(t *testing.T) {
	site := openSite(t)
	here, elsewhere := site.browser(), site.browser()
	here.signIn("alice")
	elsewhere.signIn("alice")
	lines := elsewhere.listen()
	want(t, lines, "event: hello", "data: ")
	here.post("/sessions/end-others", url.Values{})
	want(t, lines, "event: ended", "data: ended by another")
	wantEnd(t, lines)
}

func TestAnOpenPageLearnsOfASignOutInAnotherTab(t *testing.T) {
	b := openSite(t).browser()
	b.signIn("alice")
	lines := b.listen()
	want(t, lines, "event: hello", "data: ")
	b.post("/sign-out", url.Values{})
	want(t, lines, "event: ended", "data: ended by another")
	wantEnd(t, lines)
}

func TestAVisitorsOpenPageLearnsOfASignInInAnotherTab(t *testing.T) {
	b := openSite(t).browser()
	addCoat(b)
	lines := b.listen()
	want(t, lines, "event: hello", "data: ")
	b.signIn("alice")
	want(t, lines, "event: ended", "data: replaced")
	wantEnd(t, lines)
}

func TestAnOpenPageLearnsOfNewExchangesAndNotOfItself(t *testing.T) {
	b := openSite(t).browser()
	addCoat(b)
	lines := b.listen()
	want(t, lines, "event: hello", "data: ")
	b.get("/what-happened")
	b.get("/cart")
	want(t, lines, "event: news", "data:")
	select {
	case line := <-lines:
		t.Errorf("the stream says more: %q", line)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestClosingTheSiteEndsItsStreams(t *testing.T) {
	site := openSite(t)
	b := site.browser()
	b.signIn("alice")
	lines := b.listen()
	want(t, lines, "event: hello", "data: ")
	site.site.Close()
	wantEnd(t, lines)
}

func TestListeningKeepsNoSessionAlive(t *testing.T) {
	site := openSite(t)
	b := site.browser()
	b.signIn("alice")
	for range 3 {
		site.clock.advance(9 * time.Minute)
		want(t, b.listen(), "event: hello", "data: ")
	}
	site.clock.advance(9 * time.Minute)
	want(t, b.listen(), "event: ended")
}
