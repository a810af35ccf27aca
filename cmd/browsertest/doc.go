// Package browsertest proves in a real browser what the cookies and sessions of
// Coatcheck do there. It has tests only: they serve the demo, drive Chromium
// against it by its DevTools protocol and judge by what the browser itself
// reports: what it stores, sends, refuses and shows.
//
// site_test.go serves the demo under the names of the tests, over TLS with an
// authority of its own and on http://localhost, with a clock that tests move
// and routes that they add. chromium_test.go starts browsers and stops them;
// tab_test.go is what a person does in one. Each other file has the tests of
// one subject; pages_test.go and trouble_test.go look at every page of the demo
// and take its pictures.
//
// Pictures go to the folder that COATCHECK_SCREENSHOTS names, or else to
// screenshots beside this file.
package browsertest
