package demo_test

import (
	"net/url"
	"sync"
)

// atOnce calls f so many times at the same time and yields what it returns.
func atOnce(times int, f func() page) func(yield func(page) bool) {
	answers := make(chan page, times)
	start := make(chan struct{})
	var all sync.WaitGroup
	for range times {
		all.Go(func() {
			<-start
			answers <- f()
		})
	}
	close(start)
	all.Wait()
	close(answers)
	return func(yield func(page) bool) {
		for answer := range answers {
			if !yield(answer) {
				return
			}
		}
	}
}

// try sends a form from any goroutine; what fails answers with status 0.
func try(b *browser, path string, form url.Values) page {
	answer, err := b.try("POST", path, form, "same-origin")
	if err != nil {
		return page{body: err.Error()}
	}
	return answer
}
