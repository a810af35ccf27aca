// Package dbsc speaks Device Bound Session Credentials, by which a browser
// proves with a key of its device that it is still the one that signed in. A
// copied cookie jar then dies with the short-lived cookie in it.
//
// Users set Config.DeviceBound of a manager, and read [Config] and [Mode] here;
// the manager serves the two paths and keeps the [State]. Everything else is
// the protocol, without a network, a store or a clock, for the manager and for
// test vectors:
//
//   - [Config.Offer] begins: a challenge for a session that has just signed in.
//   - [Config.Register] judges the browser's registration and binds the session.
//   - [Config.Refresh] judges a proof and replaces the short-lived cookie.
//   - [State.Proves] says whether a request came from the device.
//
// A proof is a compact JWS (RFC 7515) of type dbsc+jwt in a request header. Of
// what a later proof says about itself nothing is believed: key and algorithm
// are those of the registration.
//
// testdata/vectors.json has what browsers and attackers send, with the stored
// state and the expected judgement; vectors_test.go says how to judge a file of
// another's.
//
// The draft is W3C WebAppSec "Device Bound Session Credentials"; where
// Chromium differs from it, this package does what Chromium understands: bare
// header values are read as well as quoted ones, and no status that ends the
// session in the browser is answered for trouble of the server's.
package dbsc
